import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { AccessKeys } from '../../../src/signaling/access-keys.ts';
import { Access, type Verdict } from '../../../src/signaling/admission.ts';

const KEYS = {
  EdDSA: generateKeyPairSync('ed25519'),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
};
const EXPECTED = { audience: 'rekeycast', issuer: undefined };
const HOUR = 3_600;
const now = (): number => Math.floor(Date.now() / 1_000);

const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const jwk = (key: KeyObject, more: object = {}): object => ({ ...key.export({ format: 'jwk' }), ...more });

type Claims = Readonly<Record<string, unknown>>;
const GOOD: Claims = { role: 'view', aud: 'rekeycast', exp: now() + HOUR };

const sign = (
  claims: Claims,
  {
    algorithm = 'EdDSA',
    key = KEYS.EdDSA.privateKey,
    kid,
  }: { algorithm?: string; key?: KeyObject; kid?: string } = {},
): Promise<string> =>
  new SignJWT(claims).setProtectedHeader({ alg: algorithm, ...(kid === undefined ? {} : { kid }) }).sign(key);

const parse = (
  text: string | object,
  expected: { audience: string; issuer: string | undefined } = EXPECTED,
) => AccessKeys.parse(typeof text === 'string' ? text : JSON.stringify(text), expected);
const ed25519 = (expected = EXPECTED) => parse(pem(KEYS.EdDSA.publicKey), expected);

const summary = (verdict: Verdict): string =>
  'admits' in verdict ? verdict.admits.right : verdict.words.replace(/^This token /, '');

describe('a signed token', () => {
  it.each(['EdDSA', 'ES256', 'RS256'] as const)(
    'with %s says what its bearer may, as PEM and JWK',
    async (algorithm) => {
      const { privateKey, publicKey } = KEYS[algorithm];
      for (const text of [
        pem(publicKey),
        jwk(publicKey),
        { keys: [jwk(publicKey, { use: 'sig', alg: algorithm })] },
      ])
        for (const role of ['view', 'publish']) {
          const token = await sign({ ...GOOD, role }, { algorithm, key: privateKey });
          expect(summary(await parse(text).judge(token))).toBe(role);
        }
    },
  );

  it('may call its algorithm by the newer name', async () => {
    expect(summary(await ed25519().judge(await sign(GOOD, { algorithm: 'Ed25519' })))).toBe('view');
  });

  it('lets in who has none of the other tokens, and who has none at all does not come in', async () => {
    const access = new Access({ keys: ed25519() });
    expect(summary(await access.judge(await sign(GOOD)))).toBe('view');
    expect(await access.judge(undefined)).toMatchObject({ refuses: 'missing' });
    expect(await access.judge('none')).toMatchObject({ refuses: 'wrong' });
  });

  it('tells until when something may be begun with it, half a minute added', async () => {
    const exp = now() + 60;
    expect(await ed25519().judge(await sign({ ...GOOD, exp }))).toEqual({
      admits: { right: 'view', until: (exp + 30) * 1_000 },
    });
  });

  it('that has expired still tells, so that who is in stays in', async () => {
    const exp = now() - HOUR;
    expect(await ed25519().judge(await sign({ ...GOOD, exp }))).toEqual({
      admits: { right: 'view', until: (exp + 30) * 1_000 },
    });
  });

  it.each([
    ['of another audience', { aud: 'others' }, /its "aud"/],
    ['of none', { aud: undefined }, /"aud"/],
    ['that never expires', { exp: undefined }, /"exp"/],
    ['that expires at some word', { exp: 'never' }, /"exp"/],
    ['that is not good yet', { nbf: now() + HOUR }, /"nbf"/],
    ['without a role', { role: undefined }, /"role"/],
    ['with another role', { role: 'admin' }, /"role"/],
    ['with two roles', { role: ['view', 'publish'] }, /"role"/],
    ['that has expired and is of another audience', { exp: now() - HOUR, aud: 'others' }, /its "aud"/],
    ['that has expired and is not good yet', { exp: now() - HOUR, nbf: now() + HOUR }, /"nbf"/],
  ] as const)('%s is refused in words', async (_name, claims, words) => {
    const good = await ed25519().judge(await sign(GOOD));
    expect(summary(good)).toBe('view');
    const verdict = await ed25519().judge(await sign({ ...GOOD, ...claims }));
    expect(verdict).toMatchObject({ refuses: 'wrong', words: expect.stringMatching(words) });
  });

  it('has the issuer that is expected, where one is', async () => {
    const keys = ed25519({ audience: 'rekeycast', issuer: 'https://a' } as never);
    expect(summary(await keys.judge(await sign({ ...GOOD, iss: 'https://a' })))).toBe('view');
    for (const iss of ['https://b', undefined])
      expect(await keys.judge(await sign({ ...GOOD, iss }))).toMatchObject({ refuses: 'wrong' });
  });

  it('is looked at with leeway for clocks, half a minute and no more', async () => {
    expect(summary(await ed25519().judge(await sign({ ...GOOD, nbf: now() + 15 })))).toBe('view');
    expect(await ed25519().judge(await sign({ ...GOOD, nbf: now() + 90 }))).toMatchObject({
      refuses: 'wrong',
    });
  });

  it('of any key of a set is good: keys are changed by naming both', async () => {
    const [old, young] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
    const set = {
      keys: [
        jwk(old.publicKey, { kid: 'old' }),
        jwk(young.publicKey, { kid: 'young' }),
        jwk(KEYS.ES256.publicKey),
      ],
    };
    const judge = async (key: KeyObject, kid?: string) =>
      summary(await parse(set).judge(await sign(GOOD, { key, ...(kid === undefined ? {} : { kid }) })));
    expect([await judge(old.privateKey, 'old'), await judge(young.privateKey, 'young')]).toEqual([
      'view',
      'view',
    ]);
    expect([await judge(old.privateKey), await judge(young.privateKey)]).toEqual(['view', 'view']);
    expect(await judge(old.privateKey, 'young')).toMatch(/signed by none/);
    expect(await judge(generateKeyPairSync('ed25519').privateKey)).toMatch(/signed by none/);
  });
});

describe('a key', () => {
  const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey;
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
  it.each([
    [
      'a private key in PEM',
      KEYS.EdDSA.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      'a private key',
    ],
    ['a private JWK', jwk(KEYS.ES256.privateKey), 'a private key'],
    [
      'a private key of a set',
      { keys: [jwk(KEYS.EdDSA.publicKey), jwk(KEYS.EdDSA.privateKey)] },
      'a private key',
    ],
    ['a shared secret', { kty: 'oct', k: 'c2VjcmV0' }, 'a secret'],
    ['an empty set', { keys: [] }, 'no key'],
    ['a set of something else', { keys: [1] }, 'no JWK'],
    ['a short RSA key', pem(rsa1024), '1024 bits'],
    ['a key of another curve', pem(p384), 'another kind'],
    ['a key for another algorithm', jwk(KEYS.RS256.publicKey, { alg: 'PS256' }), 'PS256'],
    ['a key to encrypt with', jwk(KEYS.RS256.publicKey, { use: 'enc' }), '"enc"'],
    ['broken JSON', '{"kty":', 'none'],
    ['some text', 'ssh-ed25519 AAAA', 'neither'],
    ['nothing', '', 'neither'],
  ])('is not %s', (_name, text, words) => {
    expect(() => parse(text)).toThrow(words);
  });
});
