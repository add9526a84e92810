import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Broadcast } from '../test/support/broadcast.ts';
import { ChromiumBrowser } from '../test/support/chromium.ts';
import { longestGap } from '../test/support/gaps.ts';
import { elapse, until } from '../test/support/wait.ts';
import { machine, markdownTable } from './table.ts';

/** What a deploy costs the viewers: `serve --takeover` against SIGTERM and a start right behind it. Longest time without a frame around it, at each viewer. */

const USAGE = 'usage: node bench/run.mjs takeover [--repeat <n>]';
const SETTLE_MS = 3_000;
const OBSERVED_MS = 3_000;

const { values: options } = parseArgs({
  options: { repeat: { type: 'string', default: '10' }, help: { type: 'boolean', default: false } },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

const WAYS = ['takeover', 'takeover, HANDOFF=fresh', 'SIGTERM, then start'] as const;
type Way = (typeof WAYS)[number];

const browser = await ChromiumBrowser.launch();
try {
  console.log(`${machine()}, Chromium ${browser.version}, load ${loadavg()[0]!.toFixed(1)}\n`);
  const rows = [];
  for (const way of WAYS)
    rows.push({ what: way, values: await measure(way, Number(options.repeat)), unit: 'ms' });
  console.log(markdownTable(rows));
} finally {
  await browser.close();
}

async function measure(way: Way, repeats: number): Promise<number[]> {
  const broadcast = await Broadcast.start({ browser });
  try {
    const gaps: number[] = [];
    for (let i = 0; i < repeats; i++) {
      await elapse(SETTLE_MS);
      const from = Date.now();
      await deploy(broadcast, way);
      const to = Date.now() + OBSERVED_MS;
      for (const viewer of broadcast.viewers) {
        await viewer.waitPlaying(to, 40_000);
        gaps.push(longestGap(await viewer.frames(), from, to)?.length ?? Number.NaN);
      }
    }
    return gaps;
  } finally {
    await broadcast.dispose();
  }
}

async function deploy({ server }: Broadcast, way: Way): Promise<void> {
  if (way === 'SIGTERM, then start') {
    await server.kill('SIGTERM');
    await server.start();
    return;
  }
  const { before } = server.spawnBeside(
    ['serve', '--takeover'],
    way === 'takeover' ? {} : { HANDOFF: 'fresh' },
  );
  await until('the one before has ended', () => before.exit, 40_000);
  await server.ready();
}
