import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { LOOPBACK } from './ports.ts';
import { until } from './wait.ts';

/** Says who was started and how it ended; each line on standard input is one start. */
const SERVICE_MANAGER = `
while read -r start; do
  sh -c 'echo "started $$"; export LISTEN_PID=$$; exec "$@"' service "$@" </dev/null
  echo "ended $?"
done`;

export interface SocketUnitOptions {
  /** As in `ListenStream=`. */
  readonly host: string;
  readonly udpPort: number;
  readonly tcpPort: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/**
 * What systemd does with a socket unit: holds a UDP and a TCP socket and starts a service on them, as often as it is told. The sockets are made
 * by systemd-socket-activate, which takes one kind at a time, so one is started by the other; behind both stands a shell that keeps them
 * when the service has ended.
 */
export class SocketUnit {
  readonly #holder: ChildProcessByStdio<Writable, Readable, Readable>;
  #said = '';
  #complaints = '';

  private constructor(options: SocketUnitOptions) {
    const { host, udpPort, tcpPort, command, env } = options;
    this.#holder = spawn(
      'systemd-socket-activate',
      [
        ...['--datagram', `--listen=${host}:${udpPort}`],
        ...['systemd-socket-activate', `--listen=${host}:${tcpPort}`, '--fdname=rekeycast:rekeycast'],
        // It hands on little of its own environment.
        ...['sh', '-c', SERVICE_MANAGER, 'sh', 'env'],
        ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
        ...command,
      ],
      { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH ?? '' }, detached: true },
    );
    this.#holder.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
    this.#holder.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text;
    });
    live.add(this);
  }

  /** The sockets are there, and nobody serves. */
  static async open(options: SocketUnitOptions): Promise<SocketUnit> {
    const unit = new SocketUnit(options);
    try {
      // The second socket is made when something has arrived at the first.
      const knock = createSocket('udp4');
      await until('both sockets are there', async () => {
        knock.send('knock', options.udpPort, LOOPBACK);
        return await accepts(options.tcpPort);
      });
      knock.close();
      return unit;
    } catch (error) {
      await unit.dispose();
      throw new Error(`${(error as Error).message}\n${unit.#complaints}`);
    }
  }

  /** All output of all services. */
  get output(): string {
    return this.#said + this.#complaints;
  }

  /** How the services have ended so far: exit codes as a shell has them, 128 and more for a signal. */
  get endings(): readonly number[] {
    return [...this.#said.matchAll(/^ended (\d+)$/gm)].map(([, code]) => Number(code));
  }

  /** Starts the service; gives its process id, and does not wait for it to be ready. */
  async start(): Promise<number> {
    const before = this.#pids().length;
    this.#holder.stdin.write('start\n');
    return until('the service is started', () => this.#pids()[before]);
  }

  /** Starts it and waits for its `Open http://`. */
  async serve(): Promise<number> {
    const before = this.#greetings();
    const pid = await this.start();
    await until(`the service is ready\n${this.output}`, () => this.#greetings() > before);
    return pid;
  }

  /** Ends the service and waits until it is gone. */
  async stop(pid: number, signal: NodeJS.Signals): Promise<number> {
    const before = this.endings.length;
    process.kill(pid, signal);
    return until('the service has ended', () => this.endings[before]);
  }

  async dispose(): Promise<void> {
    this.#end();
    await until(
      'the holder of the sockets is gone',
      () => this.#holder.exitCode !== null || this.#holder.signalCode !== null,
    );
    live.delete(this);
  }

  /** Everything that it has started is of one process group, which is ours alone. */
  #end(): void {
    const { pid, exitCode, signalCode } = this.#holder;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, 'SIGKILL');
  }

  static {
    process.on('exit', () => {
      for (const unit of live) unit.#end();
    });
  }

  #pids(): readonly number[] {
    return [...this.#said.matchAll(/^started (\d+)$/gm)].map(([, pid]) => Number(pid));
  }

  #greetings(): number {
    return this.#said.split('Open http://').length;
  }
}

const live = new Set<SocketUnit>();

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, LOOPBACK);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
