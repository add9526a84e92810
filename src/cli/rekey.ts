import { resolve } from 'node:path';
import { readConfig } from '../config.ts';
import { readRunFile } from '../snapshot/run-file.ts';
import { askServer } from './admin-client.ts';

const ASK_TIMEOUT_MS = 10_000;

/** `rekeycast rekey`: the running server replaces the keys of every live session, unnoticed by those who watch. Gives the exit code. */
export async function rekey(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  if (argv.length > 0) {
    process.stderr.write('rekeycast rekey takes no arguments\n');
    return 2;
  }
  const stateDir = resolve(readConfig(env).stateDir);
  const run = readRunFile(stateDir);
  const answer =
    run === undefined ? undefined : await askServer(run.adminSocket, { command: 'rekey' }, ASK_TIMEOUT_MS);
  if (answer?.kind === 'answer' && answer.response.ok) {
    process.stdout.write(`new keys are on the way to ${String(answer.response.sessions)} sessions\n`);
    return 0;
  }
  const why =
    answer?.kind === 'silent'
      ? answer.why
      : answer?.kind === 'answer'
        ? 'it refused'
        : 'no server runs on it';
  process.stderr.write(`rekeycast rekey: ${stateDir}: ${why}\n`);
  return 1;
}
