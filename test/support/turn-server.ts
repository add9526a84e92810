import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, LOOPBACK } from './ports.ts';
import { temporaryDirectory } from './snapshots.ts';
import { until } from './wait.ts';

const PROGRAM = '/usr/bin/turnserver';
const CLIENT = '/usr/bin/turnutils_uclient';

/** Debian's coturn on loopback, which lets in who has credentials made from `secret`. */
export class TurnServer {
  readonly port: number;
  /** What it has said. */
  log = '';
  readonly #child: ChildProcess;
  readonly #directory: ReturnType<typeof temporaryDirectory>;

  private constructor(port: number, child: ChildProcess, directory: ReturnType<typeof temporaryDirectory>) {
    this.port = port;
    this.#child = child;
    this.#directory = directory;
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.log += text;
      });
  }

  static async start(secret: string): Promise<TurnServer> {
    if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: install the Debian package coturn`);
    const port = await freePort();
    const directory = temporaryDirectory();
    const options = [
      ...['-n', '--no-cli', '--no-tls', '--no-dtls', '--log-file', 'stdout', '--simple-log', '--verbose'],
      ...['--listening-ip', LOOPBACK, '--relay-ip', LOOPBACK, '--listening-port', String(port)],
      ...['--use-auth-secret', '--static-auth-secret', secret, '--realm', 'test', '--allow-loopback-peers'],
      ...['--pidfile', join(directory.path, 'pid'), '--userdb', join(directory.path, 'db')],
    ];
    const child = spawn(PROGRAM, options, { cwd: directory.path, stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new TurnServer(port, child, directory);
    await until('coturn answers', () => {
      if (child.exitCode !== null) throw new Error(`coturn ended:\n${server.log}`);
      return /UDP listener opened on ?: ?127\.0\.0\.1/i.test(server.log);
    });
    return server;
  }

  get url(): string {
    return `turn:${LOOPBACK}:${this.port}?transport=udp`;
  }

  /** Whether coturn's own client gets a relay with these credentials and its packets come back through it. */
  serves(username: string, credential: string): boolean {
    const { stdout } = spawnSync(
      CLIENT,
      ['-y', '-c', '-n', '2', '-m', '1', '-u', username, '-w', credential, '-p', String(this.port), LOOPBACK],
      { encoding: 'utf8', timeout: 60_000 },
    );
    return /tot_recv_msgs=[1-9]/.test(stdout);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const closed = once(this.#child, 'close');
      this.#child.kill('SIGKILL');
      await closed;
    }
    this.#directory.dispose();
  }
}
