import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { messageOf } from '../errors.ts';
import { askServerOf, refusalOf } from './admin-client.ts';
import { understood } from './call.ts';
import type { CliIo } from './workplace.ts';

const HELP = `rekeycast rekey - replace the keys of every live session, unnoticed

Usage:

  rekeycast rekey [--json]

  --json   one line of JSON: {"ordered":true,"sessions":…}

The keys that snapshots are sealed to are others: rekeycast keys rotate.

Exit codes: 0 ordered, 1 failed, 2 called wrongly.
`;

/** `rekeycast rekey`: the running server replaces the keys of every live session, unnoticed by those who watch. Gives the exit code. */
export async function rekey(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: CliIo,
): Promise<number> {
  const asked = understood('rekey', HELP, parse(argv), io);
  if (typeof asked === 'number') return asked;
  const stateDir = resolve(readConfig(env).stateDir);
  const answer = await askServerOf(stateDir, { command: 'rekey' });
  if (answer.kind === 'answer' && answer.response.ok) {
    const sessions = Number(answer.response.sessions);
    io.stdout.write(
      asked.json
        ? `${JSON.stringify({ ordered: true, sessions })}\n`
        : `new keys are on the way to ${sessions} sessions\n`,
    );
    return 0;
  }
  io.stderr.write(`rekeycast rekey: ${stateDir}: ${refusalOf(answer)}\n`);
  return 1;
}

type Asked = { readonly help: true } | { readonly help: false; readonly json: boolean };

function parse(argv: readonly string[]): Asked | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
    });
    return values.help === true ? { help: true } : { help: false, json: values.json };
  } catch (cause) {
    return messageOf(cause);
  }
}
