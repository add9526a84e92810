import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { HANDSHAKE_TYPE } from '../../src/transport/dtls/handshake.ts';
import { concat, fromHex, toHex, utf8 } from '../../src/util/bytes.ts';
import { testIdentity } from '../support/dtls-identity.ts';
import {
  CertificateDirectory,
  type CertificateFiles,
  exported,
  type InteropOutcome,
  type Meeting,
  meetServer,
  sentMessages,
  ToolProcess,
} from '../support/dtls-interop.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/wait.ts';

const EXPORTED_BYTES = 60;

let files: CertificateDirectory;
let ours: DtlsIdentity;
let certificates: Record<'ec' | 'rsa', CertificateFiles>;

beforeAll(async () => {
  files = new CertificateDirectory();
  certificates = { ec: files.make('ec'), rsa: files.make('rsa') };
  ours = await testIdentity();
});
afterAll(() => files.remove());

interface Scenario {
  readonly certificate?: 'ec' | 'rsa';
  readonly priority?: string;
  readonly args?: readonly string[];
  readonly wrongFingerprint?: boolean;
}

async function meet(scenario: Scenario, keyLog = '/dev/null'): Promise<Meeting> {
  const shown = certificates[scenario.certificate ?? 'ec'];
  const port = await freePort();
  const identity = ['--x509certfile', shown.certificate, '--x509keyfile', shown.key];
  const profile = ['--srtp-profiles', 'SRTP_AES128_CM_HMAC_SHA1_80', '--require-client-cert'];
  const priority = ['--priority', scenario.priority ?? 'NORMAL:-VERS-ALL:+VERS-DTLS1.2'];
  const server = await ToolProcess.start(
    'gnutls-serv',
    ['--udp', '--port', `${port}`, ...identity, ...profile, ...priority, ...(scenario.args ?? [])],
    /IPv4 .*done/,
    { SSLKEYLOGFILE: keyLog },
  );
  const signalled = scenario.wrongFingerprint === true ? ours.certificate : shown.der;
  return meetServer(server, port, { identity: ours, srtpProfiles: ['AES_CM_128_HMAC_SHA1_80'], signalled });
}

async function expectSameKeys(scenario: Scenario): Promise<InteropOutcome> {
  const keyLog = files.path(randomUUID());
  const { outcome, server } = await meet(scenario, keyLog);
  try {
    expect(outcome.failed).toBeUndefined();
    expect(outcome.connected).toBe(true);
    const master = await loggedMasterSecret(keyLog, outcome);
    expect(exported(outcome.keys!)).toBe(exporterOutput(master, outcome));
    return outcome;
  } finally {
    await server.stop();
  }
}

/** The master secret that the server logged for this handshake (gnutls-serv has no exporter for datagrams). */
async function loggedMasterSecret(keyLog: string, outcome: InteropOutcome): Promise<Uint8Array> {
  const line = new RegExp(`^CLIENT_RANDOM ${toHex(clientRandom(outcome))} ([0-9a-f]{96})$`, 'm');
  const [, secret] = await until('the server has logged its secret', () => {
    return line.exec(readFileSync(keyLog, 'latin1')) ?? undefined;
  });
  return fromHex(secret!);
}

/** RFC 5705 without context, by OpenSSL's PRF and not by ours. */
function exporterOutput(master: Uint8Array, outcome: InteropOutcome): string {
  const hash = outcome.received.some((datagram) => suiteOf(datagram) === 0xc02c) ? 'SHA384' : 'SHA256';
  const seed = toHex(concat(utf8('EXTRACTOR-dtls_srtp'), clientRandom(outcome), serverRandom(outcome)));
  const options = ['-kdfopt', `digest:${hash}`, '-kdfopt', `hexsecret:${toHex(master)}`];
  const command = [
    'kdf',
    '-keylen',
    `${EXPORTED_BYTES}`,
    ...options,
    '-kdfopt',
    `hexseed:${seed}`,
    'TLS1-PRF',
  ];
  return execFileSync('openssl', command, { encoding: 'latin1' }).replace(/[:\s]/g, '').toLowerCase();
}

const HELLO_BODY_OFFSET = 13 + 12;

const clientRandom = ({ sent }: InteropOutcome): Uint8Array =>
  sent[0]!.subarray(HELLO_BODY_OFFSET + 2, HELLO_BODY_OFFSET + 34);

const isServerHello = (datagram: Uint8Array): boolean => datagram[0] === 22 && datagram[13] === 2;

const serverRandom = ({ received }: InteropOutcome): Uint8Array =>
  received.find(isServerHello)!.subarray(HELLO_BODY_OFFSET + 2, HELLO_BODY_OFFSET + 34);

function suiteOf(datagram: Uint8Array): number | undefined {
  if (!isServerHello(datagram)) return undefined;
  const at = HELLO_BODY_OFFSET + 34 + 1 + datagram[HELLO_BODY_OFFSET + 34]!;
  return datagram[at]! * 256 + datagram[at + 1]!;
}

describe('gnutls-serv', { timeout: 300_000 }, () => {
  it('agrees after a cookie, with an ECDSA certificate', async () => {
    const outcome = await expectSameKeys({});
    const hellos = sentMessages(outcome.sent, HANDSHAKE_TYPE.clientHello);
    expect(hellos.map(({ seq }) => seq)).toContain(1);
  });

  it('agrees without a cookie', async () => {
    const outcome = await expectSameKeys({ args: ['--nocookie'] });
    const hellos = sentMessages(outcome.sent, HANDSHAKE_TYPE.clientHello);
    expect(hellos.map(({ seq }) => seq)).not.toContain(1);
  });

  it('agrees with an RSA certificate over P-256', async () => {
    const priority = 'NORMAL:-VERS-ALL:+VERS-DTLS1.2:-GROUP-ALL:+GROUP-SECP256R1';
    await expectSameKeys({ certificate: 'rsa', priority });
  });

  it('agrees on AES-256-GCM and SHA-384', async () => {
    await expectSameKeys({ priority: 'NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+AES-256-GCM' });
  });

  it('puts a fragmented flight together', async () => {
    await expectSameKeys({ certificate: 'rsa', args: ['--mtu', '300'] });
  });

  it('fails with a certificate whose fingerprint was not signalled', async () => {
    const { outcome, server } = await meet({ wrongFingerprint: true });
    await server.stop();
    expect(outcome.failed).toBe('fingerprint-mismatch');
    expect(outcome.keys).toBeUndefined();
  });

  it('fails where extended master secret is off', async () => {
    const { outcome, server } = await meet({
      priority: 'NORMAL:-VERS-ALL:+VERS-DTLS1.2:%NO_SESSION_HASH',
    });
    await server.stop();
    expect(outcome.failed).toBe('no-extended-master-secret');
  });
});
