import { serialize } from 'node:v8';
import { afterEach, expect, it } from 'vitest';
import { shareCertificate, takeCertificate } from '../../src/server/workers/thread-messages.ts';
import { toBase64Url, toHex, utf8 } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { expectSeen, onAir } from '../support/on-air.ts';
import type { VirtualWorld } from '../support/virtual-world.ts';

let world: VirtualWorld;
afterEach(() => world.dispose());

/** Secrets of one run, by name. */
type Secrets = ReadonlyMap<string, Uint8Array>;

/** A run of a server with workers, over a kill and an order of new keys: everything that one thread has said to another, and what none of it may hold. */
async function run(): Promise<{ readonly posted: readonly unknown[]; readonly secrets: Secrets }> {
  const scene = await onAir({ followers: 2, viewers: 4 });
  ({ world } = scene);
  const { browsers, viewers } = scene;
  world.kill();
  await world.run(500);
  await world.start();
  for (const browser of browsers) world.open(browser);
  await expectSeen(world, viewers);
  world.rekeyAll();
  await world.run(2_000);
  await expectSeen(world, viewers);
  const secrets = new Map<string, Uint8Array>();
  for (const [i, { master }] of world.keys.entries()) {
    secrets.set(`SRTP master key ${i}`, master.key.bytes);
    secrets.set(`SRTP master salt ${i}`, master.salt.bytes);
  }
  for (const browser of browsers)
    for (const [i, { secrets: made }] of browser.associations.entries())
      for (const name of ['premaster', 'master', 'keyBlock'] as const)
        secrets.set(`${browser.name}, ${name} ${i}`, made[name].bytes);
  secrets.set('certificate key', world.broadcast!.certificate.privateKey.bytes);
  return { posted: world.posted, secrets };
}

/** Names of the secrets that are in it, as they are or as text. */
function found(posted: readonly unknown[], secrets: Secrets): readonly string[] {
  const haystack = Buffer.concat(posted.map((message) => serialize(message)));
  const forms = (bytes: Uint8Array): readonly Uint8Array[] => [
    bytes,
    utf8(toHex(bytes)),
    utf8(toBase64Url(bytes)),
    utf8(Buffer.from(bytes).toString('base64')),
  ];
  return [...secrets]
    .filter(([, bytes]) => forms(bytes).some((form) => haystack.includes(Buffer.from(form))))
    .map(([name]) => name);
}

it('workers-keys-stay: no key of a session, no secret of a handshake and not the certificate key is in anything that a worker is told or says', async () => {
  const { posted, secrets } = await run();
  // Five visitors on three sets of keys each, both directions.
  expect(secrets.size).toBeGreaterThan(2 * 2 * 15);
  expect(posted.length).toBeGreaterThan(200);
  expect(found(posted, secrets)).toEqual([]);
});

it('workers-keys-control: the search finds one that was said', async () => {
  const { posted, secrets } = await run();
  const [[name, bytes]] = [...secrets] as [[string, Uint8Array]];
  expect(found([...posted, { kind: 'event', key: bytes }], secrets)).toEqual([name]);
  expect(found([...posted, { kind: 'event', key: toHex(bytes) }], secrets)).toEqual([name]);
});

it('workers-certificate-key: the certificate key comes to a worker in memory that is zeroed when it is taken', async () => {
  world = (await onAir()).world;
  const { certificate } = world.broadcast!;
  const before = toHex(certificate.privateKey.bytes);
  const shared = shareCertificate(certificate);
  expect(toHex(new Uint8Array(shared.privateKey))).toBe(before);
  const taken = takeCertificate(shared);
  expect(taken.privateKey).toBeInstanceOf(Secret);
  expect(toHex(taken.privateKey.bytes)).toBe(before);
  expect(new Uint8Array(shared.privateKey).every((byte) => byte === 0)).toBe(true);
  expect(toHex(certificate.privateKey.bytes)).toBe(before);
});
