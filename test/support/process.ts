import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adminSocketPath } from '../../src/keyring/admin-protocol.ts';
import { freePort, LOOPBACK } from './ports.ts';
import { elapse, until, witnesses } from './wait.ts';

export const ROOT = findRoot();
export const BUILT_SERVER = join(ROOT, 'dist', 'rekeycast.js');
const RAM_DIRECTORY = '/dev/shm';
/** Of what a server has said, for who wants to know why nothing comes of it. */
const LAST_WORDS = 3_000;

export interface ServerOptions {
  /** On top of (or instead of) what the harness sets. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where a relay had to know the port first. */
  readonly udpPort?: number;
  /** The UDP port that browsers are told, where a relay stands between. */
  readonly announcedPort?: number;
  /** The program; the built one of this checkout unless told otherwise. */
  readonly command?: readonly string[];
  readonly cwd?: string;
  /** Whose process it is, where the test may choose: as root. */
  readonly user?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One run of the server. Times are `performance.now()` of the test and, with `Wall`, milliseconds since 1970. */
export interface Run {
  readonly pid: number;
  readonly spawnedAt: number;
  readonly spawnedAtWall: number;
  /** The first line on standard output. */
  firstLineAt: number | undefined;
  /** The first 200 from `/readyz`. */
  readyAt: number | undefined;
  stdout: string;
  stderr: string;
  exit: Exit | undefined;
}

/** A log line of the server, with the time at which the test read it. */
export interface LogLine {
  readonly receivedAt: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Where one test's server keeps its files; fresh for each test. */
export interface Directories {
  readonly state: string;
  readonly keys: string;
  readonly runtime: string;
}

/**
 * The built server as a child process: killed, started again on the same ports and directories, and always cleaned up by process id.
 */
export class ServerProcess {
  readonly port: number;
  readonly udpPort: number;
  readonly directories: Directories;
  readonly env: Readonly<Record<string, string>>;
  readonly runs: Run[] = [];
  readonly logs: LogLine[] = [];
  readonly #options: ServerOptions;
  readonly #children = new Set<ChildProcess>();
  readonly #witness = (): string => this.describe();
  #child: ChildProcess | undefined;
  #exited: Promise<Exit> | undefined;

  private constructor(port: number, udpPort: number, directories: Directories, options: ServerOptions) {
    this.port = port;
    this.udpPort = udpPort;
    this.directories = directories;
    this.#options = options;
    this.env = {
      PATH: process.env.PATH ?? '',
      HOST: LOOPBACK,
      PORT: String(port),
      UDP_PORT: String(udpPort),
      STATE_DIR: directories.state,
      KEYS_DIR: directories.keys,
      RUNTIME_DIR: directories.runtime,
      ANNOUNCED_ADDRESS: LOOPBACK,
      ANNOUNCED_PORT: String(options.announcedPort ?? udpPort),
      LOG_LEVEL: 'info',
      ...options.env,
    };
  }

  /** Ports and directories, nothing running yet. */
  static async prepare(options: ServerOptions = {}): Promise<ServerProcess> {
    if (!existsSync(BUILT_SERVER)) {
      throw new Error('dist/rekeycast.js is missing: run `npm run build` before the end-to-end tests');
    }
    const directories = {
      state: await mkdtemp(join(tmpdir(), 'rekeycast-state-')),
      keys: await mkdtemp(join(tmpdir(), 'rekeycast-keys-')),
      runtime: await mkdtemp(join(RAM_DIRECTORY, 'rekeycast-runtime-')),
    };
    return new ServerProcess(await freePort(), options.udpPort ?? (await freePort()), directories, options);
  }

  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const server = await ServerProcess.prepare(options);
    try {
      await server.start();
    } catch (error) {
      await server.dispose();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://${LOOPBACK}:${this.port}/`;
  }

  /** Where operators ask it something. */
  get adminSocket(): string {
    return adminSocketPath(this.directories.state, this.directories.runtime);
  }

  get run(): Run {
    const run = this.runs.at(-1);
    if (run === undefined) throw new Error('the server was never started');
    return run;
  }

  get running(): boolean {
    return this.#child !== undefined && this.run.exit === undefined;
  }

  /** Starts a process and returns as soon as it exists. */
  spawn(args: readonly string[] = ['serve']): Run {
    if (this.running) throw new Error('the server runs already');
    return this.#spawn(args, {});
  }

  /** Starts another process beside the one that runs, which is this server's from then on. Gives both. */
  spawnBeside(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): { readonly before: Run; readonly run: Run } {
    const before = this.run;
    return { before, run: this.#spawn(args, env) };
  }

  /** The process of `before` is this server's again: the one beside it has ended. */
  async fallBack(before: Run): Promise<Exit> {
    const exit = await this.exited();
    const child = [...this.#children].find(({ pid }) => pid === before.pid);
    if (child === undefined) throw new Error('it has ended as well');
    this.runs.push(before);
    this.#adopt(child, before);
    return exit;
  }

  #spawn(args: readonly string[], env: Readonly<Record<string, string>>): Run {
    const spawnedAt = performance.now();
    const spawnedAtWall = Date.now();
    const { command = [process.execPath, BUILT_SERVER], cwd = ROOT, user } = this.#options;
    const child = spawn(command[0]!, [...command.slice(1), ...args], {
      cwd,
      env: { ...this.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(user === undefined || process.getuid?.() !== 0 ? {} : { uid: user, gid: user }),
    });
    const run: Run = {
      pid: child.pid ?? 0,
      spawnedAt,
      spawnedAtWall,
      firstLineAt: undefined,
      readyAt: undefined,
      stdout: '',
      stderr: '',
      exit: undefined,
    };
    this.runs.push(run);
    witnesses.add(this.#witness);
    this.#children.add(child);
    liveChildren.add(child);
    this.#collect(child, run);
    this.#adopt(child, run);
    return run;
  }

  #adopt(child: ChildProcess, run: Run): void {
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#children.delete(child);
        liveChildren.delete(child);
        run.exit = { code, signal };
        resolve(run.exit);
      });
    });
  }

  /** Starts a process and waits until it serves. */
  async start(): Promise<Run> {
    const run = this.spawn();
    await this.ready();
    return run;
  }

  /** Waits for 200 from `/readyz`. Fails at once, with what it said, when the process ends instead. */
  async ready(): Promise<void> {
    const run = this.run;
    const answered = await until(
      'the server is ready',
      async () => run.exit !== undefined || (await this.isReady()),
      undefined,
      10,
    );
    if (!answered || run.exit !== undefined) {
      throw new Error(`the server ended with ${JSON.stringify(run.exit)}\n${run.stderr}${run.stdout}`);
    }
    run.readyAt = performance.now();
  }

  async isReady(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}readyz`, { signal: AbortSignal.timeout(10_000) });
      await response.arrayBuffer();
      return response.status === 200;
    } catch {
      return false;
    }
  }

  /** Sends the signal and returns at once. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.run.pid, signal);
  }

  /** Sends the signal and waits until the process is gone. Returns the time at which the signal was sent. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<{ at: number; atWall: number; exit: Exit }> {
    const at = performance.now();
    const atWall = Date.now();
    this.signal(signal);
    return { at, atWall, exit: await this.exited() };
  }

  /** Waits until the process has ended by itself. */
  async exited(): Promise<Exit> {
    if (this.#exited === undefined) throw new Error('the server was never started');
    await until('the server has ended', () => this.run.exit !== undefined, undefined, 2);
    return this.#exited;
  }

  /** `kill -9`, nobody there for `downMs` (counted from the kill), and a new process that serves. */
  async restart(
    downMs: number,
    signal: NodeJS.Signals = 'SIGKILL',
  ): Promise<{ killedAtWall: number; run: Run }> {
    const { at, atWall } = await this.kill(signal);
    await elapse(Math.max(0, downMs - (performance.now() - at)));
    return { killedAtWall: atWall, run: await this.start() };
  }

  /** The log lines of all runs whose `event` is this one. */
  events(name: string): LogLine[] {
    return this.logs.filter((line) => line.fields.event === name);
  }

  /** How its runs stand, and the last that each has said. */
  describe(): string {
    const last = this.runs.slice(-2).map(({ pid, exit, stdout, stderr }) => {
      const state = exit === undefined ? 'runs' : `ended with ${exit.signal ?? exit.code}`;
      return `process ${pid} ${state}:\n${stdout.slice(-LAST_WORDS)}${stderr.slice(-LAST_WORDS)}`;
    });
    return last.join('\n');
  }

  async dispose(): Promise<void> {
    witnesses.delete(this.#witness);
    const ends = [...this.#children].map((child) => once(child, 'close'));
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all(ends);
    for (const directory of Object.values(this.directories)) {
      await rm(directory, { recursive: true, force: true });
    }
  }

  #collect(child: ChildProcess, run: Run): void {
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const receivedAt = performance.now();
      run.firstLineAt ??= receivedAt;
      run.stdout += text;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const fields = parseFields(line);
        if (fields !== undefined) this.logs.push({ receivedAt, fields });
      }
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      run.stderr += text;
    });
  }
}

/** Children that still run when the test process ends die with it. */
const liveChildren = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of liveChildren) child.kill('SIGKILL');
});

function parseFields(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The harness runs from its place in the tree and, bundled for a benchmark, from the working directory. */
function findRoot(): string {
  const beside = fileURLToPath(new URL('../..', import.meta.url));
  return existsSync(join(beside, 'package.json')) ? beside : process.cwd();
}
