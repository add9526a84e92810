import { basename } from 'node:path';
import { runSnapshot } from '../../src/cli/snapshot.ts';
import { IDENTITY_FILE } from '../../src/snapshot/identity-file.ts';
import type { Inspected } from '../../src/snapshot/inspect.ts';
import { ran } from './command.ts';
import type { ServerProcess } from './process.ts';
import { until } from './wait.ts';

/**
 * The identities on disk, of workers too, know so many connections: a server that is killed before that replaces connections, rightly, and on a
 * busy disk the write takes its time.
 */
export async function onFile({ env }: ServerProcess, connections: number): Promise<void> {
  await until('every connection is on file', async () => {
    const { out } = await ran((io) => runSnapshot(['inspect', '--open', '--json'], env, io));
    const { files } = JSON.parse(out) as { files: readonly Pick<Inspected, 'path' | 'opened'>[] };
    const known = files
      .filter(({ path }) => basename(path) === IDENTITY_FILE)
      .reduce((sum, { opened }) => sum + (opened?.withConnection ?? 0), 0);
    return known >= connections;
  });
}
