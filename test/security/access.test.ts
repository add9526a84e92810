import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type JWTHeaderParameters, jwtVerify, SignJWT } from 'jose';
import { afterEach, expect, it } from 'vitest';
import { AccessKeys } from '../../src/signaling/access-keys.ts';
import { Access, type Verdict } from '../../src/signaling/admission.ts';
import type { HttpPort } from '../../src/signaling/http.ts';
import { ACCESS_SUBPROTOCOL_PREFIX, CLOSE_CODE, SUBPROTOCOL } from '../../src/signaling/protocol.ts';
import { PageSockets } from '../../src/signaling/ws.ts';
import { Secret } from '../../src/util/secret.ts';
import { BOX_ORIGINS, pagePort } from '../support/page-port.ts';
import { LOOPBACK } from '../support/ports.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

const KEYS = {
  EdDSA: generateKeyPairSync('ed25519'),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
};
type Algorithm = keyof typeof KEYS;
const ALGORITHMS = Object.keys(KEYS) as Algorithm[];
const CLAIMS = { role: 'publish', aud: 'rekeycast', exp: Math.floor(Date.now() / 1_000) + 3_600 };

const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const known = (key: KeyObject): AccessKeys =>
  AccessKeys.parse(pem(key), { audience: 'rekeycast', issuer: undefined });
const encode = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const sign = (header: JWTHeaderParameters, key: KeyObject | Uint8Array): Promise<string> =>
  new SignJWT(CLAIMS).setProtectedHeader(header).sign(key);
const isLetIn = (verdict: Verdict): boolean => 'admits' in verdict;

let pages: PageSockets | undefined;
let http: HttpPort | undefined;
const clients: WsClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  pages?.close(1001, 'over');
  http?.close();
});

it('access-algorithm: no token chooses how it is verified: not HMAC under the public key, nor nothing, nor a key that it brings', async () => {
  const attacker = generateKeyPairSync('ed25519');
  for (const algorithm of ALGORITHMS) {
    const { publicKey, privateKey } = KEYS[algorithm];
    const keys = known(publicKey);
    // Control: the honest one is let in.
    const honest = await sign({ alg: algorithm }, privateKey);
    expect(isLetIn(await keys.judge(honest))).toBe(true);

    const der = publicKey.export({ type: 'spki', format: 'der' });
    const secrets = [
      pem(publicKey),
      pem(publicKey).trimEnd(),
      der,
      JSON.stringify(publicKey.export({ format: 'jwk' })),
      encode(der.toString('latin1')),
    ];
    for (const secret of secrets.map((one) => Buffer.from(one)))
      for (const alg of ['HS256', algorithm]) {
        const signed = `${encode({ alg, typ: 'JWT' })}.${encode(CLAIMS)}`;
        const forged = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
        // Control: to somebody who lets the token choose, it is a good one.
        if (alg === 'HS256')
          expect((await jwtVerify(forged, secret, { audience: 'rekeycast' })).payload.role).toBe('publish');
        expect(isLetIn(await keys.judge(forged))).toBe(false);
      }
    for (const alg of ['none', 'NONE', '', null, ['none', algorithm], { toString: algorithm }, undefined])
      for (const signature of ['', 'AA', honest.split('.')[2]!]) {
        const forged = `${encode({ alg } as object)}.${encode(CLAIMS)}.${signature}`;
        expect(isLetIn(await keys.judge(forged))).toBe(false);
      }
    for (const other of ALGORITHMS) {
      if (other === algorithm) continue;
      const foreign = await sign({ alg: other }, KEYS[other].privateKey);
      const renamed = [encode({ alg: algorithm }), ...foreign.split('.').slice(1)].join('.');
      for (const token of [foreign, renamed]) expect(isLetIn(await keys.judge(token))).toBe(false);
    }
  }
  const jwk = attacker.publicKey.export({ format: 'jwk' }) as never;
  const brought: JWTHeaderParameters[] = [
    { alg: 'EdDSA', jwk },
    { alg: 'EdDSA', jku: 'https://attacker.example/keys' },
    { alg: 'EdDSA', x5u: 'https://attacker.example/certificate' },
    { alg: 'EdDSA', kid: '../../dev/null' },
  ];
  for (const header of brought)
    expect(isLetIn(await known(KEYS.EdDSA.publicKey).judge(await sign(header, attacker.privateKey)))).toBe(
      false,
    );
});

it('access-tampered: a signed token of which anything was changed lets nobody in, and a critical header that is not known neither', async () => {
  for (const algorithm of ALGORITHMS) {
    const { publicKey, privateKey } = KEYS[algorithm];
    const keys = known(publicKey);
    const honest = await sign({ alg: algorithm }, privateKey);
    expect(isLetIn(await keys.judge(honest))).toBe(true);
    const [head = '', body = '', signature = ''] = honest.split('.');
    const forged = [
      `${head}.${encode({ ...CLAIMS, exp: CLAIMS.exp + 1 })}.${signature}`,
      `${encode({ alg: algorithm, typ: 'JWT' })}.${body}.${signature}`,
      `${head}.${body}.`,
      `${head}.${body}`,
      `${head}.${body}.${signature}.`,
      `${head}.${body}.${signature}AAAA`,
      `${head}..${signature}`,
      `${encode({ alg: algorithm, crit: ['exp'] })}.${body}.${signature}`,
    ];
    for (let at = 0; at < signature.length; at += 7)
      forged.push(
        `${head}.${body}.${signature.slice(0, at)}${signature[at] === 'A' ? 'B' : 'A'}${signature.slice(at + 1)}`,
      );
    for (const token of forged) expect(isLetIn(await new Access({ keys }).judge(token))).toBe(false);
    const critical = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: algorithm, crit: ['must'], must: true } as JWTHeaderParameters)
      .sign(privateKey, { crit: { must: true } });
    expect(isLetIn(await keys.judge(critical))).toBe(false);
  }
});

it('access-door: who has no token gets no message to the room, whatever else is offered', async () => {
  const token = 'the-one-and-only-token';
  const heard: string[] = [];
  const sockets = new PageSockets(
    {
      opened: () => heard.push('opened'),
      message: (_page, { type }) => heard.push(type),
      closed: () => heard.push('closed'),
    },
    BOX_ORIGINS,
    { access: new Access({ viewToken: Secret.copy(Buffer.from(token)) }) },
  );
  pages = sockets;
  http = await pagePort(() => sockets);
  const url = `http://${LOOPBACK}:${http.port}/`;
  const enter = async (...more: readonly string[]): Promise<WsClient> => {
    const client = await WsClient.connect(url, { protocols: [SUBPROTOCOL, ...more] });
    clients.push(client);
    client.say({ type: 'join', capabilities: { rekeyInPlace: true } });
    client.say({ type: 'publish' });
    return client;
  };
  const good = ACCESS_SUBPROTOCOL_PREFIX + encode(token);
  const offers = [
    [],
    [ACCESS_SUBPROTOCOL_PREFIX],
    [ACCESS_SUBPROTOCOL_PREFIX + token],
    [`${ACCESS_SUBPROTOCOL_PREFIX}${encode(token.slice(1))}`],
    [`${ACCESS_SUBPROTOCOL_PREFIX}${encode(`${token}\0`)}`],
    [good.toUpperCase()],
    [`rekeycast.token.${encode(token)}`],
    // The first is the one that counts: not whichever is good.
    [`${ACCESS_SUBPROTOCOL_PREFIX}${encode('another')}`, good],
  ];
  for (const offer of offers) expect(await (await enter(...offer)).closed()).toBe(CLOSE_CODE.locked);
  expect(heard).toEqual([]);
  expect(sockets.drops.total).toBe(offers.length);
  const visitor = await enter(good);
  expect(visitor.closeCode).toBeUndefined();
  await until('both messages are heard', () => heard.length === 3);
  expect(heard).toEqual(['opened', 'join', 'publish']);
});
