import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { ResumeTokens } from '../../src/session/tokens.ts';
import { Access } from '../../src/signaling/admission.ts';
import { encodeHeader, isWrittenWith, type ParsedHeader, parseHeader } from '../../src/snapshot/header.ts';
import { fingerprintOf, matchesFingerprint } from '../../src/transport/dtls/fingerprint.ts';
import { parseStun, verifyIntegrity } from '../../src/transport/ice/stun.ts';
import { createTransform } from '../../src/transport/srtp/create-transform.ts';
import { deriveSessionKeys } from '../../src/transport/srtp/session-keys.ts';
import { equalConstantTime, fromBase64Url, toBase64Url, utf8 } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { run } from '../support/dtls-network.ts';
import { type Identities, makeIdentities, makePair } from '../support/dtls-pair.ts';
import { flipped } from '../support/flipped.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import { rtcpPacket, rtpPacket, testMasterKey } from '../support/srtp.ts';
import { bindingRequest } from '../support/stun.ts';

/** What is compared, and how many bytes are hashed for it: the work that somebody with a clock could see. */
const work = vi.hoisted(() => ({ compared: [] as number[], hashed: 0, agreed: 0 }));
vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>();
  const counted = <Hash extends { update(data: Uint8Array): Hash }>(hash: Hash): Hash => {
    const update = hash.update.bind(hash);
    hash.update = (data) => {
      work.hashed += data.length;
      return update(data);
    };
    return hash;
  };
  return {
    ...real,
    timingSafeEqual: (a: Uint8Array, b: Uint8Array) => {
      work.compared.push(a.length);
      const equal = real.timingSafeEqual(a, b);
      if (equal) work.agreed++;
      return equal;
    },
    createHmac: (...options: Parameters<typeof real.createHmac>) => counted(real.createHmac(...options)),
    createHash: (...options: Parameters<typeof real.createHash>) => counted(real.createHash(...options)),
  };
});

interface Work {
  readonly compared: readonly number[];
  readonly hashed: number;
  readonly outcome: unknown;
}

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});
beforeEach(() => reset());

function reset(): void {
  [work.compared, work.hashed, work.agreed] = [[], 0, 0];
}

function measure(check: () => unknown): Work {
  reset();
  const outcome = check();
  return { compared: [...work.compared], hashed: work.hashed, outcome };
}

/**
 * `check` judges `length` bytes of which one is wrong, byte after byte: each time it gives the same answer for the same work, and looks at
 * all of the bytes. `honest` is the control: the right ones are taken.
 */
function expectEqualWork(length: number, honest: () => unknown, check: (wrong: number) => unknown): void {
  const right = measure(honest);
  expect(work.agreed).toBeGreaterThan(0);
  const all = Array.from({ length }, (_, at) => measure(() => check(at)));
  expect(all).toEqual(Array(length).fill(all[0]));
  expect(all[0]!.outcome).not.toEqual(right.outcome);
  expect(all[0]!.compared).toContain(length);
}

it('constant-time-stun: MESSAGE-INTEGRITY is compared whole, wherever it is wrong', () => {
  const bytes = bindingRequest({
    transactionId: new Uint8Array(12),
    username: 'a:b',
    password: 'password',
    priority: 1,
    tieBreaker: new Uint8Array(8),
    useCandidate: true,
  });
  const message = parseStun(bytes)!;
  const at = message.integrityOffset! + 4;
  expectEqualWork(
    20,
    () => verifyIntegrity(message, 'password'),
    (wrong) => verifyIntegrity({ ...message, bytes: flipped(bytes, at + wrong) }, 'password'),
  );
});

it('constant-time-srtp: the tags of SRTP and SRTCP are compared whole, wherever they are wrong', () => {
  const profile = 'AES_CM_128_HMAC_SHA1_80';
  const transform = createTransform(profile, deriveSessionKeys(profile, testMasterKey(profile)));
  const rtp = transform.sealRtp(rtpPacket(7), 12, 7);
  expectEqualWork(
    10,
    () => transform.openRtp(rtp, 12, 7),
    (wrong) => transform.openRtp(flipped(rtp, rtp.length - 10 + wrong), 12, 7),
  );
  const rtcp = transform.sealRtcp(rtcpPacket(), 3);
  expectEqualWork(
    10,
    () => transform.openRtcp(rtcp),
    (wrong) => transform.openRtcp(flipped(rtcp, rtcp.length - 10 + wrong)),
  );
});

it('constant-time-finished: verify_data is compared whole, wherever it is wrong', () => {
  /** Runs a handshake whose server's Finished is wrong there; what is compared last is the verify_data. */
  const handshake = (finished?: number): unknown => {
    const knobs = finished === undefined ? {} : { finished };
    const { client, server } = makePair(identities, { knobs });
    const { failed, connectedAt } = run(client, server);
    expect(work.compared.at(-1)).toBe(12);
    // A signature in DER is a byte longer now and then, which is hashed.
    work.hashed = 0;
    return { failed, connected: connectedAt !== undefined };
  };
  expectEqualWork(
    12,
    () => handshake(),
    (wrong) => handshake(wrong),
  );
});

it('constant-time-fingerprint: every announced fingerprint is compared whole, also behind one that matches', () => {
  const certificate = utf8('any bytes');
  for (const algorithm of ['sha-256', 'sha-384', 'sha-512'] as const) {
    const own = fingerprintOf(certificate, algorithm);
    const others = [fingerprintOf(utf8('b'), algorithm), fingerprintOf(utf8('c'), algorithm)];
    const { length } = own.digest;
    expectEqualWork(
      length,
      () => matchesFingerprint(certificate, [own, ...others]),
      (wrong) =>
        matchesFingerprint(certificate, [{ algorithm, digest: flipped(own.digest, wrong) }, ...others]),
    );
    const first = measure(() => matchesFingerprint(certificate, [own, ...others]));
    const last = measure(() => matchesFingerprint(certificate, [...others, own]));
    expect(first).toEqual(last);
    expect(first.compared).toEqual([length, length, length]);
  }
});

it('constant-time-token: a resume token is hashed under a key before it is looked up, and that is compared whole', () => {
  const tokens = new ResumeTokens(Secret.random(32, seededRandom(1)), seededRandom(2));
  tokens.issue('session');
  const token = tokens.issue('session');
  const bytes = fromBase64Url(token)!;
  const wrong = Array.from({ length: 32 }, (_, at) =>
    measure(() => tokens.redeem(toBase64Url(flipped(bytes, at)))),
  );
  // The look-up is of a keyed hash: which bytes of the token are right is nowhere in it.
  expect(wrong).toEqual(Array(32).fill({ compared: [], hashed: 32, outcome: undefined }));
  expect(measure(() => tokens.redeem(token))).toEqual({ compared: [32], hashed: 32, outcome: 'session' });
});

it('constant-time-access: what lets a visitor in is hashed under a key of the process and compared whole, with all there is', () => {
  const [view, publish] = ['what lets a viewer in', 'what lets a broadcaster in'];
  const access = new Access({ viewToken: Secret.copy(utf8(view)), publishToken: Secret.copy(utf8(publish)) });
  const wrong = Array.from({ length: view.length }, (_, at) =>
    measure(() => access.judge(Buffer.from(flipped(utf8(view), at)).toString('utf8'))),
  );
  const refused = { refuses: 'wrong', words: 'This token is not known here.' };
  expect(wrong).toEqual(
    Array(view.length).fill({ compared: [32, 32], hashed: view.length, outcome: refused }),
  );
  for (const token of [view, publish])
    expect(measure(() => access.judge(token))).toMatchObject({
      compared: [32, 32],
      hashed: token.length,
      outcome: { admits: { right: token === view ? 'view' : 'publish' } },
    });
});

it('constant-time-sealed: the MAC of a sealed file is compared whole, wherever it is wrong', () => {
  const writerKey = Secret.random(32, seededRandom(3));
  const fields = {
    kind: 'identity',
    keyId: '00'.repeat(8),
    generation: 1,
    createdAt: 1,
    notAfter: 2,
  } as const;
  const head = encodeHeader(
    { ...fields, id: '00'.repeat(16) },
    new Uint8Array(80),
    new Uint8Array(24),
    writerKey,
  );
  const parsed = parseHeader(head);
  if (parsed.outcome !== 'header') throw new Error('no header');
  const header: ParsedHeader = parsed.header;
  expectEqualWork(
    header.mac.length,
    () => isWrittenWith(header, writerKey),
    (wrong) => isWrittenWith({ ...header, mac: flipped(header.mac, wrong) }, writerKey),
  );
});

it('constant-time-length: bytes of another length are unequal without a look at them', () => {
  expect(measure(() => equalConstantTime(new Uint8Array(10), new Uint8Array(11)))).toEqual({
    compared: [],
    hashed: 0,
    outcome: false,
  });
});

/** Ways to compare bytes, or texts made of them, that stop at the first difference. */
const EARLY_EXITS: readonly RegExp[] = [
  /\btimingSafeEqual\b/,
  /\bcompare\(|\.equals\(|\blocaleCompare\(/,
  /\bto(?:Hex|Base64Url)\([^()]*\) [!=]==? |[!=]==? to(?:Hex|Base64Url)\(/,
  /toString\('(?:hex|base64|base64url|latin1)'\) [!=]==? /,
];
/** `a === b` where one of them has the name of something secret, or made from it, and the other is a value too. */
const EQUALITY = /([\w.?#!]+(?:\(\))?) (?:===|!==) ([\w.?#!]+)/g;
const SECRETIVE =
  /(?:tag|mac|digest|hash|token|pwd|password|secret|verifydata|fingerprint|integrity|cookie|checksum|master|nonce)s?!?$/i;
const PLAIN = /^(?:undefined|null|\d[\d_]*|typeof|true|false)$|length$|^[A-Z_]+$/;

/** What may be compared plainly, and why that tells nobody anything. */
const PLAINLY_COMPARED: ReadonlyMap<string, string> = new Map([
  ["src/util/bytes.ts: import { timingSafeEqual } from 'node:crypto';", 'the one place'],
  ['src/util/bytes.ts: return a.length === b.length && timingSafeEqual(a, b);', 'the one place'],
  [
    'src/util/bytes.ts: return toBase64Url(bytes) === text ? bytes : undefined;',
    "whether a text is canonical: both sides are the asker's own",
  ],
  [
    'src/transport/ice/ice-lite.ts: if (generation.remote?.ufrag === remote.ufrag && generation.remote.pwd === remote.pwd) return;',
    'what a page has answered with what it answered before',
  ],
  ['src/transport/ice/stun.ts: if (attribute === ATTRIBUTE.fingerprint) {', 'the type of an attribute'],
  [
    'src/cli/compiled-code.ts: return digest.equals(bytes.subarray(0, DIGEST_BYTES))',
    'a checksum without a key, over a file that nobody else may write to',
  ],
  ['src/keyring/keyring.ts: : a.createdAt.localeCompare(b.createdAt) || a.promotion - b.promotion,', 'dates'],
]);

it('constant-time-everywhere: nothing that bears the name of a secret is compared in any other way', () => {
  const root = new URL('../../src/', import.meta.url);
  const found: string[] = [];
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    // The page compares what everybody may see.
    if (!name.endsWith('.ts') || name.startsWith('client/')) continue;
    for (const raw of readFileSync(new URL(name, root), 'utf8').split('\n')) {
      const line = raw.trim();
      if (/^(?:\*|\/\/|\/\*)/.test(line)) continue;
      const named = [...line.matchAll(EQUALITY)].some(
        ([, a = '', b = '']) => (SECRETIVE.test(a) || SECRETIVE.test(b)) && !PLAIN.test(a) && !PLAIN.test(b),
      );
      if (named || EARLY_EXITS.some((pattern) => pattern.test(line))) found.push(`src/${name}: ${line}`);
    }
  }
  expect(found.sort()).toEqual([...PLAINLY_COMPARED.keys()].sort());
});
