import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { messageOf } from '../errors.ts';
import { askServerOf, refusalOf } from './admin-client.ts';
import { understood } from './call.ts';
import type { CliIo } from './workplace.ts';

const HELP = `rekeycast health - whether the server of STATE_DIR is alive, for container engines and scripts

Usage:

  rekeycast health [--ready] [--wait <seconds>] [--json]

  --ready            and whether it takes visitors: not while it starts, and not while it ends
  --wait <seconds>   ask again for that long until it is
  --json             one line of JSON: {"live":…,"ready":…}, and why not

Exit codes: 0 it is, 1 it is not, 2 called wrongly.
`;

/** A server that has not answered by then is none, for whoever asks. */
const PATIENCE_MS = 4_000;
const INTERVAL_MS = 100;
const MAX_WAIT_S = 86_400;

interface Health {
  readonly live: boolean;
  readonly ready: boolean;
  readonly why?: string;
}

/** `rekeycast health`: asks at the admin socket, so that neither ports nor certificates have to be known. Gives the exit code. */
export async function health(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: CliIo,
): Promise<number> {
  const asked = understood('health', HELP, parse(argv), io);
  if (typeof asked === 'number') return asked;
  const stateDir = resolve(readConfig(env).stateDir);
  const isGood = ({ live, ready }: Health): boolean => (asked.ready ? ready : live);
  const deadline = performance.now() + asked.waitMs;
  let found = await ask(stateDir);
  while (!isGood(found) && performance.now() < deadline) {
    await sleep(INTERVAL_MS);
    found = await ask(stateDir);
  }
  const good = isGood(found);
  if (asked.json) io.stdout.write(`${JSON.stringify(found)}\n`);
  else if (good) io.stdout.write(asked.ready ? 'ready\n' : 'alive\n');
  else io.stderr.write(`rekeycast health: ${stateDir}: ${found.why ?? 'the server takes no visitors now'}\n`);
  return good ? 0 : 1;
}

async function ask(stateDir: string): Promise<Health> {
  const answer = await askServerOf(stateDir, { command: 'status' }, PATIENCE_MS);
  const why = refusalOf(answer);
  if (why !== undefined) return { live: false, ready: false, why };
  return {
    live: true,
    ready: answer.kind === 'answer' && answer.response.ok && answer.response.ready === true,
  };
}

type Asked =
  | { readonly help: true }
  | { readonly help: false; readonly ready: boolean; readonly json: boolean; readonly waitMs: number };

function parse(argv: readonly string[]): Asked | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        ready: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        wait: { type: 'string', default: '0' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) return { help: true };
    if (!/^\d{1,5}$/.test(values.wait) || Number(values.wait) > MAX_WAIT_S)
      return `--wait takes a number of seconds up to ${MAX_WAIT_S}, not ${JSON.stringify(values.wait)}`;
    return { help: false, ready: values.ready, json: values.json, waitMs: Number(values.wait) * 1_000 };
  } catch (cause) {
    return messageOf(cause);
  }
}
