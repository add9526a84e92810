import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { messageOf } from '../errors.ts';
import { type ServerFacts, serverFacts } from '../observability/facts.ts';
import { askServerOf, refusalOf } from './admin-client.ts';
import { understood } from './call.ts';
import { statusLine, statusLines } from './status-view.ts';
import type { CliIo } from './workplace.ts';

const HELP = `rekeycast status - what the server of STATE_DIR does: sessions, keys, media, drops, snapshots

Usage:

  rekeycast status [--watch] [--interval <seconds>] [--json]

  --watch                again and again, until it is interrupted: a view that stays in its place on a terminal, a line each time elsewhere. It goes
                         on over a restart. Progress of a drain, a rotation and a mass resume is shown while there is any
  --interval <seconds>   how often (1)
  --json                 one line of JSON each time: all the numbers, durations in milliseconds

Asked at the admin socket. The same numbers are at /metrics for Prometheus (ADMIN_PORT).

Exit codes: 0 it runs, 1 it does not or gives no answer, 2 called wrongly.
`;

const PATIENCE_MS = 4_000;
const MAX_INTERVAL_S = 3_600;
/** Cursor up so many lines, then clear to the end of the screen (ECMA-48 §8.3.22 and §8.3.39). */
const backOver = (lines: number): string => (lines === 0 ? '' : `\x1b[${lines}A\x1b[J`);

interface Watching {
  /** Ends a `--watch`. */
  readonly signal?: AbortSignal;
  readonly wait?: (ms: number) => Promise<unknown>;
}

/** `rekeycast status`. Gives the exit code. */
export async function status(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: CliIo & { readonly stdout: { readonly isTTY?: boolean; readonly columns?: number } },
  { signal, wait = sleep }: Watching = {},
): Promise<number> {
  const asked = understood('status', HELP, parse(argv), io);
  if (typeof asked === 'number') return asked;
  const stateDir = resolve(readConfig(env).stateDir);
  const live = asked.watch && io.stdout.isTTY === true && !asked.json;
  let before: ServerFacts | undefined;
  let shown = 0;
  for (;;) {
    const found = await ask(stateDir);
    if (!asked.watch && found.facts === undefined) {
      if (asked.json) io.stdout.write(`${JSON.stringify({ running: false, why: found.why })}\n`);
      else io.stderr.write(`rekeycast status: ${stateDir}: ${found.why}\n`);
      return 1;
    }
    const lines = asked.json ? [jsonOf(found)] : linesOf(found, before, stateDir, live || !asked.watch);
    // A line that the terminal breaks in two would put the next view in the wrong place.
    const fitted = live ? lines.map((line) => line.slice(0, io.stdout.columns)) : lines;
    io.stdout.write(`${live ? backOver(shown) : ''}${fitted.join('\n')}\n`);
    if (!asked.watch) return 0;
    shown = fitted.length;
    before = found.facts;
    await wait(asked.intervalMs);
    if (signal?.aborted === true) return found.facts === undefined ? 1 : 0;
  }
}

type Found =
  | { readonly facts: ServerFacts; readonly why?: undefined }
  | { readonly facts?: undefined; readonly why: string };

async function ask(stateDir: string): Promise<Found> {
  const answer = await askServerOf(stateDir, { command: 'status' }, PATIENCE_MS);
  const why = refusalOf(answer);
  if (why !== undefined || answer.kind !== 'answer' || !answer.response.ok)
    return { why: why ?? 'no answer' };
  const parsed = serverFacts.safeParse(answer.response.facts);
  return parsed.success
    ? { facts: parsed.data }
    : {
        why: 'the server is of another version than this command: use the rekeycast that it was started with',
      };
}

const jsonOf = ({ facts, why }: Found): string =>
  JSON.stringify(facts === undefined ? { running: false, why } : { running: true, ...facts });

function linesOf(
  found: Found,
  before: ServerFacts | undefined,
  stateDir: string,
  view: boolean,
): readonly string[] {
  if (found.facts === undefined) return [`${stateDir}: ${found.why}`];
  return view ? statusLines(found.facts, before) : [statusLine(found.facts, before)];
}

type Asked =
  | { readonly help: true }
  | { readonly help: false; readonly watch: boolean; readonly json: boolean; readonly intervalMs: number };

function parse(argv: readonly string[]): Asked | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        watch: { type: 'boolean', short: 'w', default: false },
        json: { type: 'boolean', default: false },
        interval: { type: 'string', default: '1' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) return { help: true };
    const seconds = /^\d{1,4}(\.\d)?$/.test(values.interval) ? Number(values.interval) : 0;
    if (seconds <= 0 || seconds > MAX_INTERVAL_S)
      return `--interval takes a number of seconds up to ${MAX_INTERVAL_S}, not ${JSON.stringify(values.interval)}`;
    return { help: false, watch: values.watch, json: values.json, intervalMs: seconds * 1_000 };
  } catch (cause) {
    return messageOf(cause);
  }
}
