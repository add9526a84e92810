/** The supervisor of a demonstration in the world: processes, signals, timers. What it decides is `supervisor.ts`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { type Config, readConfig } from '../config.ts';
import { RekeycastError } from '../errors.ts';
import { createLog, type Logger } from '../log.ts';
import type { DemoOutcome } from '../signaling/protocol.ts';
import { monotonicNow } from '../util/clock.ts';
import { parseJson } from '../util/json.ts';
import { parseToSupervisor, SUPERVISED, type ToServer } from './demo-channel.ts';
import {
  type ChildId,
  type Pace,
  type StopSignal,
  Supervisor,
  type SupervisorInput,
  type SupervisorOutput,
} from './supervisor.ts';

/** What is to be started for these arguments. */
type Program = (...args: readonly string[]) => [command: string, args: string[]];
type Environment = Readonly<Record<string, string | undefined>>;

/** What a service manager gives to the process that it has started, and follows. */
const MANAGERS_OWN = ['NOTIFY_SOCKET', 'LISTEN_FDS', 'LISTEN_PID'] as const;
const STOP_SIGNALS: readonly StopSignal[] = ['SIGTERM', 'SIGINT'];
/** Words of a command that would tell a visitor more than that it has failed are for the log. */
const NOT_ROTATED = 'The keys were not rotated, and the log of the server says why. Nothing is lost.';

/**
 * `rekeycast serve` of somebody who wants a demonstration: gives the exit code, or `undefined` where this process is to be the server itself.
 * Throws `CONFIG_INVALID` where a supervisor would be in the way.
 */
export async function superviseWhereWanted(
  argv: readonly string[],
  env: Environment,
): Promise<number | undefined> {
  const config = readConfig(env);
  if (!wantsSupervisor(config, env, process.send !== undefined)) return undefined;
  return supervise(argv, createLog(config.logLevel));
}

/** Whether this process is to start servers, and not to be one. */
export function wantsSupervisor(config: Config, env: Environment, hasChannel: boolean): boolean {
  if (!config.demoControls || (hasChannel && env[SUPERVISED] !== undefined)) return false;
  const manager = MANAGERS_OWN.find((name) => env[name] !== undefined && env[name] !== '');
  if (manager !== undefined)
    throw new RekeycastError(
      'CONFIG_INVALID',
      `DEMO_CONTROLS is "1", and ${manager} shows that a service manager has started this process: it follows one process and keeps the sockets, and a demonstration ends and starts servers by itself. Unset one of them`,
    );
  if (config.port === 0 || config.udpPort === 0)
    throw new RekeycastError(
      'CONFIG_INVALID',
      'DEMO_CONTROLS is "1", and a port is 0: each server that is started would be at another one. Name the port',
    );
  return true;
}

interface SuperviseOptions {
  readonly pace?: Pace;
  /** How the program is called that runs servers and rotates keys; this very one unless told otherwise. */
  readonly program?: Program;
}

/** Runs servers, one after another, until it is told to end or gives up. Gives the exit code. */
export function supervise(
  argv: readonly string[],
  log: Logger,
  options: SuperviseOptions = {},
): Promise<number> {
  log.warn(
    { event: 'demo-controls' },
    'DEMO_CONTROLS is on: visitors on this machine, and whoever has PUBLISH_TOKEN, can kill this server, deploy it and rotate its keys from the page. Not for a server that others rely on',
  );
  return new Promise((resolve) => new Driver(argv, log, options, resolve).start());
}

class Driver {
  readonly #argv: readonly string[];
  readonly #log: Logger;
  readonly #program: Program;
  readonly #resolve: (code: number) => void;
  readonly #supervisor: Supervisor;
  readonly #children = new Map<ChildId, ChildProcess>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    argv: readonly string[],
    log: Logger,
    { pace, program = thisProgram }: SuperviseOptions,
    resolve: (code: number) => void,
  ) {
    this.#argv = argv;
    this.#log = log;
    this.#program = program;
    this.#resolve = resolve;
    this.#supervisor = new Supervisor(pace);
  }

  start(): void {
    for (const signal of STOP_SIGNALS) process.on(signal, this.#signalled);
    this.#handle({ kind: 'started' });
  }

  readonly #signalled = (signal: NodeJS.Signals): void =>
    this.#handle({ kind: 'signalled', signal: signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM' });

  #handle(input: SupervisorInput): void {
    this.#supervisor.handle(input, monotonicNow());
    this.#drain();
  }

  #drain(): void {
    for (
      let output = this.#supervisor.pollOutput();
      output !== undefined;
      output = this.#supervisor.pollOutput()
    )
      this.#perform(output);
    clearTimeout(this.#timer);
    const due = this.#supervisor.nextTimeout();
    if (due === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#supervisor.handleTimeout(monotonicNow());
        this.#drain();
      },
      Math.max(0, due - monotonicNow()),
    );
  }

  #perform(output: SupervisorOutput): void {
    switch (output.kind) {
      case 'spawn':
        this.#spawn(output.child, output.takeover);
        break;
      case 'pass':
        this.#children.get(output.child)?.kill(output.signal);
        break;
      case 'rotate':
        void rotateKeys(this.#program, this.#log).then((outcome) =>
          this.#handle({ kind: 'rotated', ...outcome }),
        );
        break;
      case 'answer': {
        const { child, action, done, words } = output;
        const answer: ToServer = { type: 'answer', action, done, words };
        const to = this.#children.get(child);
        // It may end while it is told.
        if (to?.connected) to.send(answer, () => undefined);
        break;
      }
      case 'restarting': {
        const { code, signal, pauseMs } = output;
        this.#log.warn({ event: 'server-ended', code, signal, pauseMs }, 'it is started again');
        break;
      }
      case 'gaveUp': {
        const { code, signal, failures } = output;
        this.#log.error(
          { event: 'supervisor-gave-up', code, signal, failures },
          'the server has ended again and again: it is not started any more. Its last words are above; start it again when the cause is gone, and nobody is lost who comes back within SESSION_TTL',
        );
        break;
      }
      case 'deployed':
        this.#log.info({ event: 'deployed' });
        break;
      case 'end':
        for (const signal of STOP_SIGNALS) process.off(signal, this.#signalled);
        this.#resolve(output.code);
    }
  }

  #spawn(child: ChildId, takeover: boolean): void {
    const args = takeover ? ['--takeover'] : this.#argv;
    const started = spawn(...this.#program('serve', ...args), {
      env: { ...process.env, [SUPERVISED]: '1' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // A group of its own: Ctrl-C in a terminal goes to all of a group, and a second signal would have it end at once.
      detached: true,
    });
    this.#children.set(child, started);
    started.on('message', (message) => {
      const said = parseToSupervisor(message);
      if (said?.type === 'ready') this.#handle({ kind: 'ready', child });
      else if (said !== undefined) this.#handle({ kind: 'pressed', child, action: said.action });
    });
    let over = false;
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      if (over) return;
      over = true;
      this.#children.delete(child);
      this.#handle({ kind: 'ended', child, code, signal });
    };
    started.on('exit', end);
    // A signal or a message that did not arrive is no end. No process at all is one.
    started.on('error', () => {
      if (started.pid === undefined) end(1, null);
    });
  }
}

/** As an operator would: a command of its own reads the secret keys, and neither the server nor the supervisor does. */
function rotateKeys(program: Program, log: Logger): Promise<DemoOutcome> {
  return new Promise((resolve) => {
    const command = spawn(...program('keys', 'rotate', '--json'), { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    command.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    command.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    const failed = (why: string): void => {
      log.error({ event: 'demo-not-rotated', why: why.trim() });
      resolve({ done: false, words: NOT_ROTATED });
    };
    command.once('error', ({ message }) => failed(message));
    command.once('close', (code) => {
      const said = parseJson(out) as { readonly primary?: unknown } | undefined;
      if (code === 0 && typeof said?.primary === 'string')
        resolve({
          done: true,
          words: `Key ${said.primary} has taken the place of the one before, which is destroyed.`,
        });
      else failed(err);
    });
  });
}

/** This very program, in another process. */
const thisProgram: Program = (...args) => [
  process.execPath,
  [...process.execArgv, process.argv[1]!, ...args],
];
