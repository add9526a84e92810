import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DtlsClient, type DtlsClientOptions, type DtlsFailure } from '../../src/transport/dtls/client.ts';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { decodeFragments, type HandshakeFragment } from '../../src/transport/dtls/handshake.ts';
import { CONTENT_TYPE, decodeRecords } from '../../src/transport/dtls/record.ts';
import type { DtlsSrtpKeys } from '../../src/transport/srtp/profile.ts';
import { concat, toHex } from '../../src/util/bytes.ts';
import { monotonicNow } from '../../src/util/clock.ts';
import { secureRandom } from '../../src/util/rng.ts';
import { LOOPBACK } from './ports.ts';
import { temporaryDirectory } from './snapshots.ts';
import { until } from './wait.ts';

/** Which Debian package brings a tool. */
const PACKAGE = { openssl: 'openssl', 'gnutls-serv': 'gnutls-bin' } as const;
type Tool = keyof typeof PACKAGE;

/** A running command whose output is collected. `stop()` ends it, by its own process id. */
export class ToolProcess {
  readonly #child: ChildProcess;
  output = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  /** Starts it and waits until its output matches. */
  static async start(
    tool: Tool,
    args: readonly string[],
    ready: RegExp,
    env: Readonly<Record<string, string>> = {},
  ): Promise<ToolProcess> {
    requireTool(tool);
    // Standard input stays open: both tools end at its end.
    const child = spawn(tool, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    const started = new ToolProcess(child);
    try {
      await started.says(ready);
    } catch (error) {
      await started.stop();
      throw new Error(`${tool} did not start: ${started.output}`, { cause: error });
    }
    return started;
  }

  /** Waits until the output matches. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return until(
      `the output matches ${pattern}`,
      () => pattern.exec(this.output) ?? undefined,
      undefined,
      10,
    );
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }
}

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
  readonly der: Uint8Array;
}

/** A directory with certificates that OpenSSL made. */
export class CertificateDirectory {
  readonly #directory = temporaryDirectory();

  make(type: 'ec' | 'rsa'): CertificateFiles {
    requireTool('openssl');
    const [certificate, key] = [this.path(`${type}.pem`), this.path(`${type}.key`)];
    const kind = type === 'ec' ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : ['rsa:2048'];
    const request = ['req', '-x509', '-nodes', '-newkey', ...kind, '-subj', '/CN=interop', '-days', '2'];
    execFileSync('openssl', [...request, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
    const der = execFileSync('openssl', ['x509', '-in', certificate, '-outform', 'DER']);
    return { certificate, key, der: new Uint8Array(der) };
  }

  /** Writes a certificate as PEM, for a tool that is to trust it. */
  write(name: string, der: Uint8Array): string {
    const path = this.path(name);
    const body = Buffer.from(der)
      .toString('base64')
      .replace(/(.{64})/g, '$1\n');
    writeFileSync(path, `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`);
    return path;
  }

  /** The path of a file in here, which need not exist. */
  path(name: string): string {
    return join(this.#directory.path, name);
  }

  remove(): void {
    this.#directory.dispose();
  }
}

export interface InteropOutcome {
  keys: DtlsSrtpKeys | undefined;
  connected: boolean;
  failed: DtlsFailure | undefined;
  readonly sent: Uint8Array[];
  readonly received: Uint8Array[];
}

/** Runs a client against a server on this port of the loopback address until it has ended. */
async function handshakeWith(port: number, client: DtlsClient): Promise<InteropOutcome> {
  const outcome: InteropOutcome = {
    keys: undefined,
    connected: false,
    failed: undefined,
    sent: [],
    received: [],
  };
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  let timer: NodeJS.Timeout | undefined;
  const drain = (): void => {
    for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
      if (output.kind === 'transmit') {
        outcome.sent.push(output.datagram);
        socket.send(output.datagram, port, LOOPBACK);
      } else if (output.kind === 'keys') outcome.keys = output.keys;
      else if (output.kind === 'connected') outcome.connected = true;
      else outcome.failed = output.reason;
    }
    clearTimeout(timer);
    const next = client.nextTimeout();
    if (next === undefined) return;
    timer = setTimeout(() => {
      client.handleTimeout(monotonicNow());
      drain();
    }, next - monotonicNow());
  };
  socket.on('message', (datagram) => {
    outcome.received.push(new Uint8Array(datagram));
    client.handleDatagram(datagram, monotonicNow());
    drain();
  });
  drain();
  try {
    const ended = (): boolean => outcome.connected || outcome.failed !== undefined;
    await until('the handshake has ended', ended, undefined, 5);
  } finally {
    clearTimeout(timer);
    client.dispose();
    socket.close();
  }
  return outcome;
}

export interface Meeting {
  readonly outcome: InteropOutcome;
  readonly server: ToolProcess;
}

/** Has our client shake hands with a running server; what the server said is in the error where it comes to no end. */
export async function meetServer(
  server: ToolProcess,
  port: number,
  options: Pick<DtlsClientOptions, 'identity' | 'srtpProfiles'> & { readonly signalled: Uint8Array },
): Promise<Meeting> {
  const { identity, srtpProfiles, signalled } = options;
  const remoteFingerprints = [fingerprintOf(signalled, 'sha-256')];
  const client = new DtlsClient(
    { identity, rng: secureRandom, remoteFingerprints, srtpProfiles, timeout: 30_000 },
    monotonicNow(),
  );
  try {
    return { outcome: await handshakeWith(port, client), server };
  } catch (error) {
    await server.stop();
    throw new Error(`${String(error)}\n${server.output}`, { cause: error });
  }
}

/** The exporter's output as the other side prints it: both keys, then both salts, the client's first (RFC 5764 §4.2). */
export function exported(keys: DtlsSrtpKeys): string {
  const { local, remote } = keys;
  return toHex(concat(local.key.bytes, remote.key.bytes, local.salt.bytes, remote.salt.bytes));
}

/** The handshake messages of this type among what was sent in the clear. */
export function sentMessages(sent: readonly Uint8Array[], type: number): HandshakeFragment[] {
  return sent
    .flatMap((datagram) => [...decodeRecords(datagram)])
    .filter((record) => record?.type === CONTENT_TYPE.handshake && record.epoch === 0)
    .flatMap((record) => [...decodeFragments(record!.fragment)])
    .filter((fragment) => fragment !== undefined && fragment.type === type) as HandshakeFragment[];
}

function requireTool(tool: Tool): void {
  try {
    execFileSync(tool, [tool === 'openssl' ? 'version' : '--version'], { stdio: 'ignore' });
  } catch (error) {
    throw new Error(`${tool} is missing: install the Debian package ${PACKAGE[tool]}`, { cause: error });
  }
}
