import { createSocket } from 'node:dgram';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { askServer } from '../src/cli/admin-client.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import type { ServerProcess } from '../test/support/process.ts';
import { elapse, until } from '../test/support/wait.ts';
import { WsClient } from '../test/support/ws-client.ts';
import { openPages, Page } from './fanout-page.ts';
import { type Held, ProbedServer } from './probed-server.ts';
import { writeSection } from './report.ts';
import { type Fit, leastSquares } from './slope.ts';
import { machine } from './table.ts';

/**
 * What a viewer takes of memory, and whether anything grows: viewers come, go, load their pages again and change their networks, keys are replaced by order and
 * the server is killed and stopped, for half an hour. Memory is what is left behind a collection.
 */

const USAGE = 'usage: npm run bench:soak -- [--minutes <n>] [--viewers <n,n>] [--most <n>] [--write]';
const STEP_MS = 100;
const SAMPLE_MS = 30_000;
/** Of a life: V8 compiles, and the first sessions that nobody comes back to end. */
const WARM_UP_MS = 180_000;
/** What nobody comes back to is soon forgotten, so that it comes and goes as the rest does. */
const SESSION_TTL = '60s';
const REKEY_EVERY_MS = 45_000;
/** The first comes early: what makes certificates is loaded once, and stays. */
const FIRST_CERTIFICATE_MS = 50_000;
const CERTIFICATE_EVERY_MS = 200_000;
const DOWN_MS = 300;
/** Chances of what happens in a step. */
const CHANCE = { reload: 0.1, move: 0.1, vanish: 0.06, leave: 0.3, junk: 0.5, stranger: 0.2 } as const;
const FEWEST = 60;
/** What is held may have grown by so much in a life, by its slope, and still be taken for the collector's and the compiler's doing. */
const NOISE = 0.02;
const FEWEST_SAMPLES = 8;
const WAVE_MS = 20_000;
const JUNK_BYTES = 120;

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

interface Sample extends Held {
  readonly life: number;
  /** Of this life, when the sample was taken. */
  readonly ageMs: number;
  /** Of this life so far. */
  readonly joins: number;
  readonly sessions: number;
  readonly cpuSeconds: number;
  readonly files: number;
  readonly sizes: Readonly<Record<string, number>>;
}

const identity = await testIdentity();
const MB = 2 ** 20;
const out: string[] = [];
const print = (text: string): void => {
  console.log(text);
  out.push(text);
};

function pageAt(
  server: ServerProcess,
  name: string,
  frame?: ConstructorParameters<typeof Page>[0]['frame'],
): Page {
  const at = { url: server.url, udpPort: server.udpPort, identity, name };
  return new Page(frame === undefined ? { ...at, every: 16 } : { ...at, frame });
}

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

/** Those who watch, and what happens to them. */
class Crowd {
  readonly samples: Sample[] = [];
  readonly done = {
    joins: 0,
    leaves: 0,
    vanished: 0,
    reloads: 0,
    moves: 0,
    rekeys: 0,
    certificates: 0,
    restarts: 0,
    junk: 0,
    strangers: 0,
    lost: 0,
  };
  readonly #probed: ProbedServer;
  readonly #most: number;
  readonly #viewers = new Set<Page>();
  /** Busy with something that is not to be interrupted. */
  readonly #busy = new Set<Page>();
  readonly #junk = createSocket('udp4');
  #source: Page | undefined;
  #down = false;
  #joinsAtStart = 0;
  #number = 0;

  constructor(probed: ProbedServer, most: number) {
    this.#probed = probed;
    this.#most = most;
    this.#junk.on('error', () => undefined);
  }

  get #server(): ServerProcess {
    return this.#probed.server;
  }

  async begin(): Promise<void> {
    [this.#source] = await openPages(1, 1, () =>
      pageAt(this.#server, 'source', { packets: 4, padding: 984 }),
    );
  }

  async live(ms: number, life: number): Promise<void> {
    const bornAt = performance.now();
    this.#joinsAtStart = this.done.joins;
    const age = (): number => performance.now() - bornAt;
    let sampleAt = Math.min(SAMPLE_MS, ms - STEP_MS);
    let [rekeyAt, certificateAt] = [REKEY_EVERY_MS, FIRST_CERTIFICATE_MS];
    while (age() < ms) {
      await elapse(STEP_MS);
      this.#step(age());
      if (age() >= rekeyAt) {
        rekeyAt += REKEY_EVERY_MS;
        this.done.rekeys++;
        await this.#order('rekey');
      }
      if (age() >= certificateAt) {
        certificateAt += CERTIFICATE_EVERY_MS;
        this.done.certificates++;
        await this.#order('certificate');
      }
      if (age() >= sampleAt) {
        sampleAt += SAMPLE_MS;
        await this.#sample(life, age());
      }
    }
  }

  async restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#down = true;
    this.done.restarts++;
    await until('nothing is under way', () => this.#busy.size === 0, 60_000);
    const pages = [this.#source!, ...this.#viewers];
    const had = new Map(pages.map((page) => [page, page.browser.associations.length]));
    await this.#server.restart(DOWN_MS, signal);
    await Promise.all(
      pages.map(async (page) => {
        await page.connect();
        const back = await page.sees(() => page.browser.associations.length > had.get(page)!, 20_000);
        if (back || page === this.#source) return;
        this.#say('not back after a restart', page);
        this.done.lost++;
        this.#viewers.delete(page);
        page.leave();
      }),
    );
    this.#down = false;
  }

  end(): void {
    for (const page of [this.#source, ...this.#viewers]) page?.leave();
    this.#junk.close();
  }

  #step(age: number): void {
    if (this.#down) return;
    const wave = (1 + Math.sin((age / WAVE_MS) * 2 * Math.PI)) / 2;
    const wanted = FEWEST + (this.#most - FEWEST) * wave;
    if (this.#viewers.size + this.#busy.size < wanted) this.#go(() => this.#join());
    if (chance(CHANCE.leave)) this.#take((page) => this.#leave(page, 'leaves', 'leave'));
    if (chance(CHANCE.vanish)) this.#take((page) => this.#leave(page, 'vanished', 'nothing'));
    if (this.#viewers.size > wanted + 5) this.#take((page) => this.#leave(page, 'leaves', 'leave'));
    if (chance(CHANCE.reload)) this.#take((page) => this.#go(() => this.#reload(page)));
    if (chance(CHANCE.move)) this.#take((page) => this.#go(() => this.#move(page)));
    if (chance(CHANCE.junk)) this.#sendJunk();
    if (chance(CHANCE.stranger)) this.#go(() => this.#stranger());
  }

  /** Somebody who is doing nothing else. */
  #take(then: (page: Page) => void): void {
    const free = [...this.#viewers].filter((page) => !this.#busy.has(page));
    const page = free[Math.floor(Math.random() * free.length)];
    if (page !== undefined) then(page);
  }

  #go(what: () => Promise<void>): void {
    what().catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      this.done.lost++;
    });
  }

  async #join(): Promise<void> {
    await this.#bringUp(pageAt(this.#server, `viewer ${this.#number++}`));
    this.done.joins++;
  }

  async #bringUp(page: Page): Promise<void> {
    this.#busy.add(page);
    try {
      await page.connect();
      const connected = await page.sees(() => page.browser.current?.connected === true);
      if (connected) this.#viewers.add(page);
      else {
        this.#say('no keys', page);
        this.done.lost++;
        page.leave();
      }
    } finally {
      this.#busy.delete(page);
    }
  }

  #leave(page: Page, as: 'leaves' | 'vanished', word: 'leave' | 'nothing'): void {
    this.done[as]++;
    this.#viewers.delete(page);
    page.leave(word);
  }

  async #reload(page: Page): Promise<void> {
    this.#viewers.delete(page);
    const { token } = page.browser;
    page.leave('away');
    const again = pageAt(this.#server, page.browser.name);
    again.browser.token = token;
    this.done.reloads++;
    await this.#bringUp(again);
  }

  #say(what: string, { browser }: Page): void {
    const { epoch, connected } = browser.current ?? {};
    process.stderr.write(
      `${browser.name}: ${what}: ${JSON.stringify({ errors: browser.errors, token: browser.token !== undefined, epoch, connected })}\n`,
    );
  }

  async #move(page: Page): Promise<void> {
    this.#busy.add(page);
    this.done.moves++;
    try {
      await page.move();
      // Its session may have ended meanwhile.
      if (page.browser.token === undefined) this.#leave(page, 'leaves', 'leave');
    } finally {
      this.#busy.delete(page);
    }
  }

  /** Of nobody, and each kind of datagram; from the same few ports, and to nobody who is there. */
  #sendJunk(): void {
    this.done.junk++;
    const bytes = new Uint8Array(JUNK_BYTES).map(() => Math.floor(Math.random() * 256));
    bytes[0] = [0, 22, 128, 200][Math.floor(Math.random() * 4)]!;
    this.#junk.send(bytes, this.#server.udpPort, LOOPBACK);
  }

  /** Comes with a token that nobody has, by a name that is not ours, or for a page that there is not. */
  async #stranger(): Promise<void> {
    const number = this.done.strangers++;
    const { url } = this.#server;
    if (number % 3 === 0) {
      const socket = await WsClient.connect(url, { token: Buffer.alloc(32, number).toString('base64url') });
      await elapse(200);
      socket.close();
    } else if (number % 3 === 1) {
      const origin = `http://stranger-${number}.example`;
      await WsClient.connect(url, { origin }).catch(() => undefined);
    } else await (await fetch(`${url}nothing-${number}`)).arrayBuffer();
  }

  async #order(command: 'rekey' | 'certificate'): Promise<void> {
    await askServer(this.#server.adminSocket, { command });
  }

  async #sample(life: number, ageMs: number): Promise<void> {
    const held = await this.#probed.memory();
    const facts = await this.#probed.facts();
    const { state, runtime } = this.#server.directories;
    const size = (directory: string, name: string): number =>
      statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
    this.samples.push({
      ...held,
      life,
      ageMs,
      joins: this.done.joins - this.#joinsAtStart,
      sessions: facts.sessions.groups.reduce((sum, { count }) => sum + count, 0),
      cpuSeconds: facts.process.cpuSeconds,
      sizes: {
        'identity.sealed': size(state, 'identity.sealed'),
        'media.sealed': size(runtime, 'media.sealed'),
        'audit.log': size(state, 'audit.log'),
      },
    });
    const { sessions } = this.samples.at(-1)!;
    process.stderr.write(
      `life ${life}, ${Math.round(ageMs / 1000)} s: heap ${mb(held.heapUsed)}, external ${mb(held.external)}, resident ${mb(held.rss)}, ${sessions} sessions, ${held.files} descriptors, ${JSON.stringify(held.resources)} ${JSON.stringify(this.done)}\n`,
    );
  }
}

function report(crowd: Crowd, shortLives: number, lengthMs: number): void {
  const { samples, done } = crowd;
  print(`### ${Math.round(lengthMs / 60_000)} minutes\n`);
  print(
    `${FEWEST} to ${options.most} viewers at 120 packets a second: ${done.joins} joins, ${done.leaves} leaves, ${done.vanished} went without a word, ${done.reloads} reloads, ${done.moves} changes of network, ${done.rekeys} orders of new keys and ${done.certificates} of another certificate for all, ${done.restarts} restarts (\`kill -9\` and SIGTERM in turn), ${done.junk} datagrams and ${done.strangers} requests of strangers; ${done.lost} pages had to begin anew.\n`,
  );
  print(
    'A life is one process. Slopes are by least squares over the samples after its first minutes, one each 30 s, with the number of sessions as a second cause; ± is the standard error.\n',
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

function chance(share: number): boolean {
  return Math.random() < share;
}

function mb(bytes: number): string {
  return `${(bytes / MB).toFixed(1)} MB`;
}

function kB(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} kB`;
}

print(`${machine()}. Written by \`npm run bench:soak -- --minutes ${options.minutes}\`.\n`);
await memoryPerViewer(options.viewers.split(',').map(Number));
await soak(Number(options.minutes) * 60_000, Number(options.most));
if (options.write) writeSection('memory', out.join('\n'));
process.exit();
