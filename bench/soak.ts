import { parseArgs } from 'node:util';
import { elapse } from '../test/support/wait.ts';
import { openPages, type Page } from './fanout-page.ts';
import { type Held, ProbedServer } from './probed-server.ts';
import { writeSection } from './report.ts';
import { type Fit, leastSquares } from './slope.ts';
import { Crowd, FEWEST, mb, pageAt, SAMPLE_MS, type Sample } from './soak-crowd.ts';
import { machine } from './table.ts';

/**
 * What a viewer takes of memory, and whether anything grows: viewers come, go, load their pages again and change their networks, keys are replaced by order and
 * the server is killed and stopped, for half an hour. Memory is what is left behind a collection.
 */

const USAGE = 'usage: npm run bench:soak -- [--minutes <n>] [--viewers <n,n>] [--most <n>] [--write]';
/** Of a life: V8 compiles, and the first sessions that nobody comes back to end. */
const WARM_UP_MS = 180_000;
/** What nobody comes back to is soon forgotten, so that it comes and goes as the rest does. */
const SESSION_TTL = '60s';
/** What is held may have grown by so much in a life, by its slope, and still be taken for the collector's and the compiler's doing. */
const NOISE = 0.02;
const FEWEST_SAMPLES = 8;

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    /** Of which the memory is measured first. */
    viewers: { type: 'string', default: '100,1000' },
    most: { type: 'string', default: '150' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

const out: string[] = [];
const print = (text: string): void => {
  console.log(text);
  out.push(text);
};

async function memoryPerViewer(counts: readonly number[]): Promise<void> {
  const probed = await ProbedServer.start();
  const { server } = probed;
  const pages: Page[] = [];
  try {
    pages.push(
      ...(await openPages(1, 1, () =>
        pageAt(server, 'source', { packets: 2, padding: 1_084, interval: 50 }),
      )),
    );
    // Once around, so that what is loaded and compiled for the first viewer is not his.
    const first = await openPages(20, 20, (i) => pageAt(server, `first ${i}`));
    for (const page of first) page.leave();
    await elapse(5_000);
    const none = await probed.memory();
    const rows = [row('0', none)];
    let before = 0;
    let last = none;
    for (const count of counts) {
      pages.push(...(await openPages(count - before, 32, (i) => pageAt(server, `viewer ${before + i}`))));
      before = count;
      // The history has filled, and what handshakes needed is gone.
      await elapse(10_000);
      last = await probed.memory();
      rows.push(row(String(count), last));
    }
    print('### A viewer\n');
    print('Of one server with a broadcaster at 40 packets a second of 1,100 bytes, behind a collection.\n');
    print(
      '| viewers | resident | V8 heap in use | outside of it | together | descriptors |\n|---|---|---|---|---|---|',
    );
    print(rows.join('\n'));
    const each = (of: (held: Held) => number): string => kB((of(last) - of(none)) / before);
    print(
      `\n**${each(({ heapUsed, external }) => heapUsed + external)} a viewer** in heap and outside (${each(({ rss }) => rss)} resident), from 0 to ${before}.\n`,
    );
  } finally {
    for (const page of pages) page.leave();
    await server.dispose();
  }
}

function row(viewers: string, { rss, heapUsed, external, files }: Held): string {
  return `| ${viewers} | ${mb(rss)} | ${mb(heapUsed)} | ${mb(external)} | ${mb(heapUsed + external)} | ${files} |`;
}

async function soak(lengthMs: number, most: number): Promise<void> {
  const probed = await ProbedServer.start({ SESSION_TTL });
  const crowd = new Crowd(probed, most);
  try {
    await crowd.begin();
    // A third of the time with a restart every 75 seconds, then two lives as long as can be.
    const short = Array.from({ length: Math.floor(lengthMs / 3 / 75_000) }, () => 75_000);
    const long = [lengthMs / 3, lengthMs / 3];
    for (const [life, ms] of [...short, ...long].entries()) {
      await crowd.live(ms, life);
      if (life < short.length + long.length - 1) await crowd.restart(life % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    }
    report(crowd, short.length, lengthMs);
  } finally {
    crowd.end();
    await probed.server.dispose();
  }
}

function report(crowd: Crowd, shortLives: number, lengthMs: number): void {
  const { samples, done } = crowd;
  print(`### ${Math.round(lengthMs / 60_000)} minutes\n`);
  print(
    `${FEWEST} to ${options.most} viewers at 120 packets a second: ${done.joins} joins, ${done.leaves} leaves, ${done.vanished} went without a word, ${done.reloads} reloads, ${done.moves} changes of network, ${done.rekeys} orders of new keys and ${done.certificates} of another certificate for all, ${done.restarts} restarts (\`kill -9\` and SIGTERM in turn), ${done.junk} datagrams and ${done.strangers} requests of strangers; ${done.lost} pages had to begin anew.\n`,
  );
  print(
    `A life is one process. Slopes are by least squares over the samples after its first minutes, one each ${SAMPLE_MS / 1_000} s, with the number of sessions as a second cause; ± is the standard error.\n`,
  );
  print(
    '| life | minutes | joins | core in use | sessions | heap + outside, first → last | of it machine code | a session | slope per 1,000 joins | resident, first → last | slope per 1,000 joins | descriptors | verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|',
  );
  const lives = [...new Set(samples.map(({ life }) => life))];
  for (const life of lives.filter((one) => one >= shortLives)) {
    const all = samples.filter((sample) => sample.life === life);
    const warmUp = Math.min(WARM_UP_MS, (all.at(-1)?.ageMs ?? 0) / 3);
    print(
      lifeRow(
        `${life + 1}`,
        all.filter(({ ageMs }) => ageMs >= warmUp),
      ),
    );
  }
  const firsts = lives
    .filter((life) => life < shortLives)
    .map((life) => samples.findLast((sample) => sample.life === life)!);
  if (firsts.length > 1) {
    print('\nThe short lives, each at its last sample:\n');
    print(
      '| life | sessions | heap + outside | resident | descriptors | identity.sealed | media.sealed | audit.log |\n|---|---|---|---|---|---|---|---|',
    );
    for (const one of [...firsts, samples.at(-1)!]) {
      const sizes = Object.values(one.sizes).map((bytes) => kB(bytes));
      print(
        `| ${one.life + 1} | ${one.sessions} | ${mb(one.heapUsed + one.external)} | ${mb(one.rss)} | ${one.files} | ${sizes.join(' | ')} |`,
      );
    }
  }
  print('');
}

function lifeRow(name: string, samples: readonly Sample[]): string {
  const [first, last] = [samples[0]!, samples.at(-1)!];
  const by = (of: (sample: Sample) => number): Fit =>
    leastSquares(samples.map((sample) => ({ y: of(sample), x: [sample.joins / 1_000, sample.sessions] })));
  const held = by(({ heapUsed, external }) => heapUsed + external);
  const rss = by((sample) => sample.rss);
  const core = (last.cpuSeconds - first.cpuSeconds) / ((last.ageMs - first.ageMs) / 1_000);
  const slope = ({ slopes, errors }: Fit): string => `${kB(slopes[0]!)} ± ${kB(errors[0]!)}`;
  const counts = samples.map(({ sessions }) => sessions);
  // By all that was there at the end: what a leak of this size would come to.
  const share = (held.slopes[0]! * (last.joins - first.joins)) / 1_000 / (last.heapUsed + last.external);
  const verdict =
    samples.length < FEWEST_SAMPLES
      ? 'too short to say'
      : held.slopes[0]! <= 2 * held.errors[0]!
        ? 'no growth'
        : `${share > NOISE ? '**grows**' : 'no growth to speak of'}: ${(share * 100).toFixed(1)} %`;
  return `| ${name} | ${Math.round(last.ageMs / 60_000)} | ${last.joins} | ${(core * 100).toFixed(0)} % | ${Math.min(...counts)} – ${Math.max(...counts)} | ${mb(first.heapUsed + first.external)} → ${mb(last.heapUsed + last.external)} | ${mb(first.code)} → ${mb(last.code)} | ${kB(held.slopes[1]!)} | ${slope(held)} | ${mb(first.rss)} → ${mb(last.rss)} | ${slope(rss)} | ${first.files} → ${last.files} | ${verdict} |`;
}

function kB(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} kB`;
}

print(`${machine()}. Written by \`npm run bench:soak -- --minutes ${options.minutes}\`.\n`);
await memoryPerViewer(options.viewers.split(',').map(Number));
await soak(Number(options.minutes) * 60_000, Number(options.most));
if (options.write) writeSection('memory', out.join('\n'));
process.exit();
