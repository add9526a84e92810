import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { supervise } from '../../src/cli/supervise.ts';
import { MAX_FAILURES } from '../../src/cli/supervisor.ts';
import type { Logger } from '../../src/log.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

const directory = testDirectory();
const FIRST_FAILURE = 3;

/**
 * In the place of the server: notes that it was started. The first one serves, says so in a file, and waits to be killed. The next ones end by
 * themselves at once, and from the given one on they end as somebody wants them to.
 */
const PROGRAM = `
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
const [starts, ready, good] = process.argv.slice(2);
appendFileSync(starts, process.argv.slice(5).join(' ') + '\\n');
const count = readFileSync(starts, 'utf8').split('\\n').length - 1;
// Stays for as long as there is a supervisor.
process.on('disconnect', () => process.exit());
if (count === 1) process.send({ type: 'ready' }, () => writeFileSync(ready, String(process.pid)));
else process.exit(count >= Number(good) ? 0 : ${FIRST_FAILURE});
`;

/** Runs servers under a real supervisor that waits for milliseconds, the first of which is killed. */
async function run(goodFrom: number) {
  const [program, starts, ready] = ['server.mjs', 'starts', 'ready'].map((name) =>
    join(directory.path, name),
  );
  writeFileSync(program!, PROGRAM);
  const events: Record<string, unknown>[] = [];
  const note = (event: object): void => void events.push(event as Record<string, unknown>);
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const over = supervise(['--flag'], log, {
    pace: { pause: 1, longestPause: 4, goodRun: Number.POSITIVE_INFINITY },
    program: (...args) => [process.execPath, [program!, starts!, ready!, String(goodFrom), ...args]],
  });
  const pid = await until('the first server serves', () =>
    existsSync(ready!) ? Number(readFileSync(ready!, 'utf8')) || undefined : undefined,
  );
  process.kill(pid, 'SIGKILL');
  return { code: await over, events, starts: readFileSync(starts!, 'utf8').trimEnd().split('\n') };
}

it('a supervisor gives up on a server that ends again and again, and says so with how it has ended', async () => {
  const before = process.listenerCount('SIGTERM');
  const { code, events, starts } = await run(Number.POSITIVE_INFINITY);
  expect(code).toBe(1);
  expect(starts).toEqual(Array(MAX_FAILURES).fill('serve --flag'));
  const ended = { event: 'server-ended', code: FIRST_FAILURE, signal: null };
  expect(events.slice(1)).toEqual([
    { ...ended, code: null, signal: 'SIGKILL', pauseMs: 1 },
    ...[2, 4, 4].map((pauseMs) => ({ ...ended, pauseMs })),
    { event: 'supervisor-gave-up', code: FIRST_FAILURE, signal: null, failures: MAX_FAILURES },
  ]);
  expect(process.listenerCount('SIGTERM')).toBe(before);
});

it('a supervisor does not give up on one that has recovered before that', async () => {
  const { code, events, starts } = await run(MAX_FAILURES);
  expect([code, starts.length]).toEqual([0, MAX_FAILURES]);
  expect(events.map(({ event }) => event)).not.toContain('supervisor-gave-up');
});
