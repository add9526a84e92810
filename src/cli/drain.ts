import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readConfig } from '../config.ts';
import { messageOf } from '../errors.ts';
import type { DrainProgress } from '../keyring/admin-protocol.ts';
import { readRunFile } from '../snapshot/run-file.ts';
import { type AdminAnswer, askServer, askServerOf, refusalOf } from './admin-client.ts';
import { understood } from './call.ts';
import type { CliIo } from './workplace.ts';

const HELP = `rekeycast drain - take the server of STATE_DIR out of service without sending anybody away

Usage:

  rekeycast drain [--wait] [--json]

  --wait   until the server has ended, and show how many are left
  --json   lines of JSON: {"draining":true,"sessions":…,"leftMs":…}, at the end {"draining":false,"ended":true}

From now on nobody new comes in, and pages are told why. Who is in stays, and may come back after a loss of the network. The server ends when the
last has left, or SHUTDOWN_MAX_WAIT after the first drain; it writes down who is left then. SIGTERM ends it at once, as cleanly.

Exit codes: 0 it drains (with --wait: it has ended), 1 failed, 2 called wrongly.
`;

const INTERVAL_MS = 250;
/** A server that is about to end hangs up on who asks it just then. One that is silent for longer is in trouble. */
const MAX_SILENCES = 8;

/** `rekeycast drain`. Gives the exit code. */
export async function drain(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  io: CliIo,
): Promise<number> {
  const asked = understood('drain', HELP, parse(argv), io);
  if (typeof asked === 'number') return asked;
  const stateDir = resolve(readConfig(env).stateDir);
  const socket = readRunFile(stateDir)?.adminSocket;
  const answer = await askServerOf(stateDir, { command: 'drain' });
  const begun = progressIn(answer);
  if (socket === undefined || begun === undefined) {
    const why = refusalOf(answer) ?? 'its answer makes no sense';
    io.stderr.write(`rekeycast drain: ${stateDir}: ${why}. Nothing was changed\n`);
    return 1;
  }
  const show = (progress: DrainProgress): unknown =>
    io.stdout.write(asked.json ? `${JSON.stringify({ draining: true, ...progress })}\n` : words(progress));
  show(begun);
  if (!asked.wait) return 0;
  const why = await waitForEnd(socket, begun, show);
  if (why === undefined) {
    io.stdout.write(asked.json ? '{"draining":false,"ended":true}\n' : 'the server has ended\n');
    return 0;
  }
  io.stderr.write(
    `rekeycast drain: ${stateDir}: the server does not answer any more (${why}). It may be draining still: ask again\n`,
  );
  return 1;
}

/** Shows each change. Gives why it gave up, in words; `undefined` where the server has ended. */
async function waitForEnd(
  socket: string,
  begun: DrainProgress,
  show: (progress: DrainProgress) => unknown,
): Promise<string | undefined> {
  let { sessions } = begun;
  for (let silences = 0; ; ) {
    await sleep(INTERVAL_MS);
    const answer = await askServer(socket, { command: 'status' });
    if (answer.kind === 'nobody') return undefined;
    if (answer.kind === 'silent') {
      silences++;
      if (silences === MAX_SILENCES) return answer.why;
      continue;
    }
    silences = 0;
    const progress = progressIn(answer);
    // It does not drain: this is the one that came after it.
    if (progress === undefined) return undefined;
    if (progress.sessions !== sessions) show(progress);
    sessions = progress.sessions;
  }
}

function progressIn(answer: AdminAnswer): DrainProgress | undefined {
  const draining = answer.kind === 'answer' && answer.response.ok ? answer.response.draining : undefined;
  if (typeof draining !== 'object' || draining === null) return undefined;
  const { sessions, leftMs } = draining as Partial<Record<keyof DrainProgress, unknown>>;
  return { sessions: Number(sessions), leftMs: Number(leftMs) };
}

function words({ sessions, leftMs }: DrainProgress): string {
  if (sessions === 0) return 'nobody is left: the server ends now\n';
  const who = sessions === 1 ? '1 visitor is' : `${sessions} visitors are`;
  return `${who} left; the server ends when the last has left, or in ${Math.ceil(leftMs / 1_000)} s\n`;
}

type Asked =
  | { readonly help: true }
  | { readonly help: false; readonly wait: boolean; readonly json: boolean };

function parse(argv: readonly string[]): Asked | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        wait: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h' },
      },
    });
    return values.help === true ? { help: true } : { help: false, wait: values.wait, json: values.json };
  } catch (cause) {
    return messageOf(cause);
  }
}
