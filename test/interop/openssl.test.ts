import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { HANDSHAKE_TYPE } from '../../src/transport/dtls/handshake.ts';
import type { SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { testIdentity } from '../support/dtls-identity.ts';
import {
  CertificateDirectory,
  type CertificateFiles,
  exported,
  type Meeting,
  meetServer,
  sentMessages,
  ToolProcess,
} from '../support/dtls-interop.ts';
import { freePort, LOOPBACK } from '../support/ports.ts';

const EXPORTED_BYTES: Readonly<Record<SrtpProfile, number>> = {
  AES_CM_128_HMAC_SHA1_80: 60,
  AEAD_AES_128_GCM: 56,
  AEAD_AES_256_GCM: 88,
};
const OPENSSL_PROFILE: Readonly<Record<SrtpProfile, string>> = {
  AES_CM_128_HMAC_SHA1_80: 'SRTP_AES128_CM_SHA1_80',
  AEAD_AES_128_GCM: 'SRTP_AEAD_AES_128_GCM',
  AEAD_AES_256_GCM: 'SRTP_AEAD_AES_256_GCM',
};

let files: CertificateDirectory;
let ours: DtlsIdentity;
let oursPem: string;
let certificates: Record<'ec' | 'rsa', CertificateFiles>;

beforeAll(async () => {
  files = new CertificateDirectory();
  certificates = { ec: files.make('ec'), rsa: files.make('rsa') };
  ours = await testIdentity();
  oursPem = files.write('ours.pem', ours.certificate);
});
afterAll(() => files.remove());

interface Scenario {
  readonly certificate?: 'ec' | 'rsa';
  readonly profile?: SrtpProfile;
  readonly args?: readonly string[];
  readonly askForCertificate?: boolean;
  readonly wrongFingerprint?: boolean;
}

async function meet(scenario: Scenario): Promise<Meeting> {
  const { certificate = 'ec', profile = 'AES_CM_128_HMAC_SHA1_80', askForCertificate = true } = scenario;
  const files = certificates[certificate];
  const port = await freePort();
  const ask = askForCertificate ? ['-Verify', '1', '-verify_return_error', '-CAfile', oursPem] : [];
  const exporter = ['-keymatexport', 'EXTRACTOR-dtls_srtp', '-keymatexportlen', `${EXPORTED_BYTES[profile]}`];
  const args = ['s_server', '-dtls1_2', '-accept', `${LOOPBACK}:${port}`, '-naccept', '1'];
  const identity = ['-cert', files.certificate, '-key', files.key, '-use_srtp', OPENSSL_PROFILE[profile]];
  const server = await ToolProcess.start(
    'openssl',
    [...args, ...identity, ...exporter, ...ask, ...(scenario.args ?? [])],
    /ACCEPT/,
  );
  const signalled = scenario.wrongFingerprint === true ? ours.certificate : files.der;
  return meetServer(server, port, { identity: ours, srtpProfiles: [profile], signalled });
}

/** Both sides finished, and both exported the same keys. */
async function expectSameKeys(scenario: Scenario): Promise<{ output: string; sent: Uint8Array[] }> {
  const { outcome, server } = await meet(scenario);
  try {
    expect(outcome.failed).toBeUndefined();
    expect(outcome.connected).toBe(true);
    const [, printed] = await server.says(/Keying material: ([0-9A-F]+)\n/);
    expect(exported(outcome.keys!)).toBe(printed!.toLowerCase());
    return { output: server.output, sent: outcome.sent };
  } finally {
    await server.stop();
  }
}

const keyShareBytes = (sent: readonly Uint8Array[]): number =>
  sentMessages(sent, HANDSHAKE_TYPE.clientKeyExchange)[0]!.bytes[0]!;

describe('openssl s_server', { timeout: 300_000 }, () => {
  it('agrees with an ECDSA certificate over X25519', async () => {
    const { output, sent } = await expectSameKeys({ args: ['-groups', 'X25519:P-256'] });
    expect(output).toContain('ECDHE-ECDSA-AES128-GCM-SHA256');
    expect(keyShareBytes(sent)).toBe(32);
  });

  it('agrees over P-256', async () => {
    const { sent } = await expectSameKeys({ args: ['-groups', 'P-256'] });
    expect(keyShareBytes(sent)).toBe(65);
  });

  it('agrees with an RSA certificate and PSS signatures', async () => {
    const { output } = await expectSameKeys({
      certificate: 'rsa',
      args: ['-sigalgs', 'RSA-PSS+SHA256:ECDSA+SHA256'],
    });
    expect(output).toContain('ECDHE-RSA-AES128-GCM-SHA256');
  });

  it('agrees with an RSA certificate and PKCS #1 signatures', async () => {
    await expectSameKeys({ certificate: 'rsa', args: ['-sigalgs', 'RSA+SHA256:ECDSA+SHA256'] });
  });

  it('agrees on AES-256-GCM and SHA-384, with either certificate', async () => {
    const { output } = await expectSameKeys({ args: ['-cipher', 'ECDHE-ECDSA-AES256-GCM-SHA384'] });
    expect(output).toContain('ECDHE-ECDSA-AES256-GCM-SHA384');
    await expectSameKeys({ certificate: 'rsa', args: ['-cipher', 'ECDHE-RSA-AES256-GCM-SHA384'] });
  });

  it.each(['AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'] as const)('exports keys for %s', async (profile) => {
    await expectSameKeys({ profile });
  });

  it('answers a cookie with a second ClientHello', async () => {
    const { sent } = await expectSameKeys({ args: ['-listen'] });
    expect(sentMessages(sent, HANDSHAKE_TYPE.clientHello).map(({ seq }) => seq)).toContain(1);
  });

  it('puts a fragmented flight together', async () => {
    await expectSameKeys({ certificate: 'rsa', args: ['-mtu', '256'] });
  });

  it('fails where it does not ask for our certificate', async () => {
    const { outcome, server } = await meet({ askForCertificate: false });
    await server.stop();
    expect(outcome.failed).toBe('no-client-authentication');
    expect(outcome.keys).toBeUndefined();
  });

  it('fails with a certificate whose fingerprint was not signalled', async () => {
    const { outcome, server } = await meet({ wrongFingerprint: true });
    await server.stop();
    expect(outcome.failed).toBe('fingerprint-mismatch');
    expect(outcome.keys).toBeUndefined();
  });

  it('fails where no SRTP profile is shared', async () => {
    const { outcome, server } = await meet({ args: ['-use_srtp', 'SRTP_AES128_CM_SHA1_32'] });
    await server.stop();
    expect(outcome.failed).toBe('no-srtp-profile');
    expect(outcome.keys).toBeUndefined();
  });
});
