import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ASK_INTERVAL, HANGS_AFTER } from '../../../src/server/workers/watchdog.ts';
import { makePipe } from '../../support/pipe.ts';
import { testDirectory } from '../../support/test-directory.ts';
import { elapse, until } from '../../support/wait.ts';
import { broadcasting, comeBack, FAULTY_WORKER, startServer, statusOf } from '../../support/worker-server.ts';

const root = testDirectory();

describe('a server with workers', { timeout: 180_000 }, () => {
  it.each(['turn in circles', 'wait in the kernel'])(
    'ends when one of them hangs (%s), says how long it has not answered until then, and the next process has everybody',
    async (how) => {
      const [fault, pipe] = [join(root.path, 'fault'), join(root.path, 'pipe')];
      const server = await startServer(2, { NODE_OPTIONS: `--import=${FAULTY_WORKER}`, FAULT_AT: fault });
      const pages = await broadcasting(server, 2);
      if (how !== 'turn in circles') makePipe(pipe);
      writeFileSync(fault, how === 'turn in circles' ? how : pipe);
      let silent: readonly number[] = [];
      await until('it owes an answer', async () => {
        silent = (await statusOf(server)).facts.workers!.map(({ silentMs }) => silentMs);
        return silent[0]! > 2_000;
      });
      expect(silent[1]).toBeLessThan(silent[0]!);
      await server.exited();
      expect(server.run.exit).not.toMatchObject({ code: 0 });
      expect(server.events('worker-hangs').map(({ fields }) => fields.worker)).toEqual([1]);
      expect(server.events('worker-lost')).toEqual([]);
      rmSync(fault);
      await server.start();
      await comeBack(pages, 2);
      expect((await statusOf(server)).sessions).toBe(3);
    },
  );

  it('goes on where the whole process was stopped for a while', async () => {
    const server = await startServer(1);
    const pages = await broadcasting(server, 1);
    server.signal('SIGSTOP');
    await elapse(HANGS_AFTER + 3 * ASK_INTERVAL);
    server.signal('SIGCONT');
    // So many looks after it, nobody is taken for one who hangs.
    const from = performance.now();
    await until('it has gone on', () => performance.now() > from + 3 * ASK_INTERVAL || !server.running);
    expect(server.running).toBe(true);
    expect(server.events('worker-hangs')).toEqual([]);
    for (const page of pages) await page.onAir(1);
  });
});
