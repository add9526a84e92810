import { beforeAll, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import { SIGNATURE_SCHEME } from '../../src/transport/dtls/signature.ts';
import { concat } from '../../src/util/bytes.ts';
import { encodeCertificateRequest, encodeUseSrtp } from '../support/dtls-messages.ts';
import { type Outcome, run } from '../support/dtls-network.ts';
import {
  expectConnected,
  expectFailed,
  type Identities,
  makeIdentities,
  makePair,
  type Pair,
  type PairOptions,
} from '../support/dtls-pair.ts';
import type { ServerKnobs } from '../support/dtls-server.ts';

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

const AES_CM = 0x0001;
const AEAD_128 = 0x0007;
const P256 = 0x0017;
const ALERT = {
  unexpected: 10,
  badCertificate: 42,
  illegal: 47,
  decrypt: 51,
  version: 70,
  handshake: 40,
  extension: 110,
};

interface Lie {
  readonly what: string;
  readonly knobs?: ServerKnobs;
  readonly meet?: () => PairOptions;
  readonly reason: string;
  readonly alert: number;
}

const lies = (
  reason: string,
  alert: number,
  ...rows: readonly (readonly [what: string, knobs: ServerKnobs])[]
): readonly Lie[] => rows.map(([what, knobs]) => ({ what, knobs, reason, alert }));

const CLAIMS: readonly { readonly id: string; readonly sentence: string; readonly rows: readonly Lie[] }[] = [
  {
    id: 'handshake-fingerprint',
    sentence: 'a server whose certificate is not the one that was signalled gets no keys',
    rows: [
      {
        what: 'another certificate',
        meet: () => ({ knobs: { certificate: identities.client.certificate } }),
        reason: 'fingerprint-mismatch',
        alert: ALERT.badCertificate,
      },
      {
        what: 'no fingerprint was signalled',
        meet: () => ({ options: { remoteFingerprints: [] } }),
        reason: 'fingerprint-mismatch',
        alert: ALERT.badCertificate,
      },
      {
        what: 'what was signalled is no certificate',
        meet: () => vouchedFor(Uint8Array.of(0x30, 3, 2, 1, 1)),
        reason: 'bad-certificate',
        alert: ALERT.badCertificate,
      },
      {
        what: 'its key is of another kind than its suite',
        meet: () => ({ knobs: { suite: 0xc02b }, serverIdentity: identities.rsa }),
        reason: 'bad-certificate',
        alert: ALERT.badCertificate,
      },
    ],
  },
  {
    id: 'handshake-possession',
    sentence: 'a server that shows the right certificate without having its key gets no keys',
    rows: [
      {
        what: 'signed with a key of its own',
        meet: () => vouchedFor(identities.client.certificate),
        reason: 'bad-signature',
        alert: ALERT.decrypt,
      },
    ],
  },
  {
    id: 'handshake-signature',
    sentence: 'a signature that is random, of another handshake or by another scheme gives no keys',
    rows: [
      ...lies(
        'bad-signature',
        ALERT.decrypt,
        ['a bit flipped', { signature: 'forged' }],
        ['random bytes', { signature: 'random' }],
        ['nothing at all', { signature: 'empty' }],
        ['made for another hello', { signature: 'stale' }],
        ['a scheme that does not go with the key', { scheme: SIGNATURE_SCHEME.rsaPkcs1Sha256 }],
      ),
      ...lies('illegal-parameter', ALERT.illegal, ['a scheme that was not offered', { scheme: 0x0203 }]),
    ],
  },
  {
    id: 'handshake-suite',
    sentence: 'a suite without forward secrecy or AEAD, and compression, are refused: none was offered',
    rows: [
      ...lies(
        'unsupported-suite',
        ALERT.illegal,
        ['RSA key transport', { suite: 0x009c }],
        ['CBC', { suite: 0xc009 }],
        ['no encryption', { suite: 0xc006 }],
        ['anonymous', { suite: 0xc018 }],
      ),
      ...lies('illegal-parameter', ALERT.illegal, ['compression', { compression: 1 }]),
    ],
  },
  {
    id: 'handshake-version',
    sentence: 'an older version is refused',
    rows: lies(
      'unsupported-version',
      ALERT.version,
      ['DTLS 1.0', { version: 0xfeff }],
      ['TLS 1.2', { version: 0x0303 }],
      ['the version before all', { version: 0x0100 }],
    ),
  },
  {
    id: 'handshake-extended-master-secret',
    sentence: 'without extended master secret there are no keys',
    rows: lies(
      'no-extended-master-secret',
      ALERT.handshake,
      ['left out', { extendedMasterSecret: null }],
      ['garbled', { extendedMasterSecret: Uint8Array.of(0) }],
    ),
  },
  {
    id: 'handshake-srtp-profile',
    sentence: 'an SRTP profile that was not offered, none or several, or an MKI, are refused',
    rows: lies(
      'no-srtp-profile',
      ALERT.handshake,
      ['none is named', { useSrtp: null }],
      ['two', { useSrtp: encodeUseSrtp([AES_CM, AES_CM]) }],
      ['an empty list', { useSrtp: encodeUseSrtp([]) }],
      ['one that was not offered', { useSrtp: encodeUseSrtp([AEAD_128]) }],
      ['one with a tag of 32 bits', { useSrtp: encodeUseSrtp([0x0002]) }],
      ['one without encryption', { useSrtp: encodeUseSrtp([0x0005]) }],
      ['an MKI', { useSrtp: encodeUseSrtp([AES_CM], Uint8Array.of(1)) }],
      ['no list', { useSrtp: Uint8Array.of(0, 1, 0) }],
    ),
  },
  {
    id: 'handshake-extensions',
    sentence:
      'an extension in the ServerHello that answers nothing we asked, or answers it wrong, is refused',
    rows: [
      ...lies(
        'unsupported-extension',
        ALERT.extension,
        ['a ticket', { extension: [35, Uint8Array.of()] }],
        ['a server name', { extension: [0, Uint8Array.of()] }],
        ['a connection id', { extension: [54, Uint8Array.of(0)] }],
        ['an ALPN protocol', { extension: [16, Uint8Array.of(0, 3, 2, 0x68, 0x32)] }],
        ["groups, which are the client's to name", { extension: [10, Uint8Array.of(0, 2, 0, 29)] }],
        ['signature algorithms, likewise', { extension: [13, Uint8Array.of(0, 2, 4, 3)] }],
      ),
      ...lies(
        'illegal-parameter',
        ALERT.illegal,
        ['a renegotiation', { renegotiationInfo: Uint8Array.of(1, 9) }],
        ['no vector in it', { renegotiationInfo: Uint8Array.of() }],
        ['no uncompressed points', { extension: [11, Uint8Array.of(1, 1)] }],
        ['point formats that lie about their count', { extension: [11, Uint8Array.of(5, 0)] }],
      ),
    ],
  },
  {
    id: 'handshake-key-share',
    sentence: 'a key share that is no point of an offered group, or a point of low order, is refused',
    rows: [
      ...lies(
        'bad-key-share',
        ALERT.illegal,
        ['X25519, of low order', { keyShare: new Uint8Array(32) }],
        ['X25519, too short', { keyShare: new Uint8Array(31).fill(9) }],
        ['not on P-256', { group: P256, keyShare: new Uint8Array(65).fill(4) }],
        ['compressed', { group: P256, keyShare: new Uint8Array(33).fill(2) }],
      ),
      ...lies('illegal-parameter', ALERT.illegal, ['a group not offered', { group: 0x0018 }]),
    ],
  },
  {
    id: 'handshake-client-authentication',
    sentence:
      'a server that does not ask for our certificate is refused: it would talk to anybody in our place',
    rows: lies(
      'no-client-authentication',
      ALERT.handshake,
      ['does not ask', { askForCertificate: false }],
      ['asks for RSA only', { certificateRequest: encodeCertificateRequest([1], [0x0403]) }],
      ['takes no signature of ours', { certificateRequest: encodeCertificateRequest([64], [0x0804]) }],
    ),
  },
];

it.each(CLAIMS.map((claim) => [`${claim.id}: ${claim.sentence}`, claim.rows] as const))('%s', (_, rows) => {
  for (const { what, knobs, meet, reason, alert } of rows) {
    const { pair, outcome } = encounter(meet?.() ?? { knobs: knobs! });
    expect([what, outcome.failed]).toEqual([what, reason]);
    expectFailed(outcome, reason);
    expect([what, pair.server.alerts]).toEqual([what, [{ epoch: 0, description: alert }]]);
    expect(pair.server.connected).toBe(false);
    expect(pair.client.drops.get('refused-flight') + Number(reason === 'bad-key-share')).toBeGreaterThan(0);
  }
});

it('handshake-control: the same server is connected when it does not lie, and so are its permitted answers', () => {
  for (const knobs of [
    {},
    { group: P256 },
    { suite: 0xc02c },
    { extension: [11, Uint8Array.of(2, 1, 0)] },
    { renegotiationInfo: null },
  ] satisfies ServerKnobs[]) {
    const { pair, outcome } = encounter({ knobs });
    expectConnected(pair, outcome);
    expect(pair.client.drops.total).toBe(0);
  }
});

it('handshake-downgrade: who strikes the stronger suites from our hello on its way gets no connection out of it', () => {
  const offered = concat(...[0xc02b, 0xc02f, 0xc02c, 0xc030].map((id) => Uint8Array.of(id >> 8, id & 0xff)));
  const weaker = concat(...[0xc02b, 0xc02f, 0xc02b, 0xc02f].map((id) => Uint8Array.of(id >> 8, id & 0xff)));
  for (const replacement of [offered, weaker]) {
    const { client, server } = makePair(identities);
    let refused: unknown;
    const middle = {
      handleDatagram: (datagram: Uint8Array, now: number) => {
        const changed = Buffer.from(datagram);
        const at = changed.indexOf(offered);
        if (at >= 0) changed.set(replacement, at);
        try {
          server.handleDatagram(changed, now);
        } catch (error) {
          refused = error;
        }
      },
      handleTimeout: (now: number) => server.handleTimeout(now),
      nextTimeout: () => server.nextTimeout(),
      pollDatagram: () => server.pollDatagram(),
    };
    const outcome = run(client, middle);
    if (replacement === offered) expectConnected({ client, server }, outcome);
    else {
      expect(String(refused)).toContain('does not authenticate');
      expect(outcome.connectedAt).toBeUndefined();
      expect(outcome.failed).toBe('timeout');
      expect(server.connected).toBe(false);
    }
  }
});

it('handshake-finished: a Finished that is random is answered with an alert under the new keys, and nobody is connected', () => {
  const { pair, outcome } = encounter({ knobs: { finished: 'random' } });
  expect(outcome.failed).toBe('bad-finished');
  expect(outcome.connectedAt).toBeUndefined();
  expect(pair.server.alerts).toEqual([{ epoch: 1, description: ALERT.decrypt }]);
});

it('handshake-plaintext-finished: a Finished that is not protected is no Finished', () => {
  const { pair, outcome } = encounter({ knobs: { finished: 'plaintext' } });
  expect(outcome.failed).toBe('timeout');
  expect(outcome.connectedAt).toBeUndefined();
  expect(pair.client.drops.get('wrong-epoch')).toBeGreaterThan(0);
});

function encounter(options: PairOptions): { readonly pair: Pair; readonly outcome: Outcome } {
  const pair = makePair(identities, options);
  return { pair, outcome: run(pair.client, pair.server) };
}

/** The certificate was signalled, and somebody shows it who has another key. */
function vouchedFor(certificate: Uint8Array): PairOptions {
  return { knobs: { certificate }, options: { remoteFingerprints: [fingerprintOf(certificate, 'sha-256')] } };
}
