import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import { keyText } from '../support/key-text.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

const root = testDirectory();

describe('one server on a directory', { timeout: 60_000 }, () => {
  it.each(['STATE_DIR', 'RUNTIME_DIR'])(
    'is left of two that share %s and are as far as each other in their starts',
    async (shared) => {
      const [waiting, go, key] = ['waiting', 'go', 'key'].map((name) => join(root.path, name));
      writeFileSync(key!, keyText(1), { mode: 0o600 });
      // Both have come this far, and then they run.
      const script = `echo x >>${waiting}; until [ -e ${go} ]; do sleep 0.01; done; cat ${key}`;
      const env = { SNAPSHOT_KEY_COMMAND: JSON.stringify(['/bin/sh', '-c', script]) };
      const first = await prepareServer({ env });
      const second = await prepareServer({ env: { ...env, [shared]: first.env[shared]! } });
      const both = [first, second];
      for (const server of both) server.spawn();
      await until(
        'both wait',
        () => existsSync(waiting!) && readFileSync(waiting!, 'utf8').length >= 2 * both.length,
      );
      writeFileSync(go!, '');
      const isReadyOrGone = async (server: (typeof both)[number]) =>
        !server.running || (await server.isReady());
      for (const server of both) await until('it is ready, or has ended', () => isReadyOrGone(server));
      const left = both.filter((server) => server.running);
      expect(left).toHaveLength(1);
      const gone = both.find((server) => !server.running)!;
      expect(gone.run.stderr).toContain('[STATE_IN_USE]');
      expect(gone.events('started')).toEqual([]);
      // Whoever it was holds nothing that keeps the other out for longer.
      await left[0]!.kill('SIGKILL');
      await gone.start();
    },
  );
});
