import { resolve } from 'node:path';
import { readConfig } from '../config.ts';
import { readRunFile } from '../snapshot/run-file.ts';
import { type AdminAnswer, askServer, refusalOf } from './admin-client.ts';
import type { CliIo } from './keys.ts';

/** `rekeycast rekey`: the running server replaces the keys of every live session, unnoticed by those who watch. Gives the exit code. */
export async function rekey(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: CliIo,
): Promise<number> {
  if (argv.length > 0) {
    io.stderr.write('rekeycast rekey takes no arguments\n');
    return 2;
  }
  const stateDir = resolve(readConfig(env).stateDir);
  const run = readRunFile(stateDir);
  const answer: AdminAnswer =
    run === undefined ? { kind: 'nobody' } : await askServer(run.adminSocket, { command: 'rekey' });
  if (answer.kind === 'answer' && answer.response.ok) {
    io.stdout.write(`new keys are on the way to ${String(answer.response.sessions)} sessions\n`);
    return 0;
  }
  io.stderr.write(`rekeycast rekey: ${stateDir}: ${refusalOf(answer)}\n`);
  return 1;
}
