import * as fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { type Address, addressKey } from '../../src/transport/address.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { bindingSuccess, parseStun, STUN_TYPE } from '../../src/transport/ice/stun.ts';
import type { Peer } from '../../src/transport/peer.ts';
import { utf8 } from '../../src/util/bytes.ts';
import { randomBytes } from '../../src/util/rng.ts';
import { netGrowth } from '../support/growth.ts';
import { seenBy } from '../support/on-air.ts';
import { Scene } from '../support/scene.ts';
import { stunRequest } from '../support/stun.ts';

const VICTIM: Address = { ip: '192.0.2.66', port: 5_004 };
/** What the server counts dropped datagrams by, over all engines. */
const DROP_REASONS = 24;
const MAX_PATHS = 8;

let scene: Scene;
afterEach(() => scene.dispose());

const bytesOf = (datagrams: readonly Uint8Array[]): number =>
  datagrams.reduce((sum, { length }) => sum + length, 0);
const kindsOf = (datagrams: readonly Uint8Array[]) =>
  new Set(datagrams.map((datagram) => classifyDatagram(datagram)));
const typesOf = (datagrams: readonly Uint8Array[]) => datagrams.map((datagram) => parseStun(datagram)?.type);
const somewhere = (n: number): Address => ({
  ip: n % 2 === 0 ? `198.51.${(n >> 8) & 255}.${n & 255}` : `2001:db8::${n.toString(16)}`,
  port: 1_024 + n,
});

/** What a browser has sent of one kind, as somebody on the path has recorded it. */
function recorded(from: Address, kind: string): readonly Uint8Array[] {
  return scene.world.received.flatMap(({ from: { ip }, datagram }) =>
    ip === from.ip && classifyDatagram(datagram) === kind ? [datagram] : [],
  );
}

it('off-path-checks: a check without the password gets nothing and moves nothing, whoever it names and wherever it comes from', async () => {
  scene = await Scene.create(2);
  const [peer, other] = scene.viewers.map((viewer) => scene.peerOf(viewer)) as [Peer, Peer];
  const username = `${peer.iceCredentials.ufrag}:${peer.captureIdentity()!.remoteUfrag}`;
  const bare = [{ type: 0x0006, value: utf8(username) }];
  const nomination = { type: 0x0025, value: new Uint8Array(0) };
  const rows = (
    nominate: boolean,
  ): readonly (readonly [what: string, datagram: Uint8Array, reason: string])[] => [
    ['without a signature', stunRequest(nominate ? [...bare, nomination] : bare), 'ice: bad integrity'],
    [
      'signed with a guess',
      scene.checkFor(peer, { nominate, password: 'x'.repeat(24) }),
      'ice: bad integrity',
    ],
    [
      'signed with the password of another visitor',
      scene.checkFor(peer, { nominate, password: other.iceCredentials.pwd }),
      'ice: bad integrity',
    ],
    ['to nobody', scene.checkFor(peer, { nominate, username: 'nobody:is' }), 'server: unknown peer'],
    [
      'from nobody',
      scene.checkFor(peer, { nominate, username: `${peer.iceCredentials.ufrag}:nope` }),
      'ice: unknown username',
    ],
    [
      'with the halves swapped',
      scene.checkFor(peer, { nominate, username: username.split(':').reverse().join(':') }),
      'server: unknown peer',
    ],
  ];
  await scene.expectUndisturbed(async () => {
    for (const from of [VICTIM, ...scene.everybody.map((browser) => scene.addressOf(browser))]) {
      for (const [what, datagram, reason] of [...rows(false), ...rows(true)]) {
        const drops = await scene.drops(() => {
          expect([what, scene.heardAt(from, datagram)]).toEqual([what, []]);
        });
        expect([what, drops]).toEqual([what, { [reason]: 1 }]);
      }
    }
    // With the password there is an answer to all of this: the question whether the sender is there.
    expect(typesOf(scene.heardAt(VICTIM, scene.checkFor(peer)))).toEqual([STUN_TYPE.bindingRequest]);
  });
});

it('off-path-replayed-checks: a recorded check gets nothing elsewhere, also from the next process, and moves nothing', async () => {
  scene = await Scene.create(2);
  const [viewer, other] = scene.viewers;
  await scene.world.run(2_000);
  const checks = recorded(scene.addressOf(viewer!), 'stun').filter(
    (datagram) => parseStun(datagram)!.type === STUN_TYPE.bindingRequest,
  );
  expect(checks.length).toBeGreaterThan(4);
  await scene.expectUndisturbed(async () => {
    for (const from of [VICTIM, scene.addressOf(other!)]) {
      const drops = await scene.drops(() => {
        for (const check of checks) expect(scene.heardAt(from, check)).toEqual([]);
      });
      expect(drops).toEqual({ 'ice: replayed': checks.length });
    }
  });
  scene.world.kill();
  await scene.world.start();
  const peer = scene.peerOf(viewer!);
  for (const check of checks) expect(scene.heardAt(VICTIM, check)).toEqual([]);
  expect(peer.remoteAddress).toEqual(scene.addressOf(viewer!));
  expect(peer.isValidated(VICTIM)).toBe(false);
});

it('off-path-packets: DTLS, RTP and RTCP that are recorded or made up are dropped, also under the address of who sent them', async () => {
  scene = await Scene.create(2);
  const [viewer] = scene.viewers;
  const { rng } = scene;
  viewer!.current!.report([], 1);
  await scene.world.run(50);
  const [source, sink] = [scene.broadcaster, viewer!].map((browser) => scene.addressOf(browser));
  const dtls = recorded(source!, 'dtls');
  const rtp = recorded(source!, 'srtp').slice(-20, -5);
  const rtcp = recorded(sink!, 'srtcp');
  expect([dtls.length > 1, rtp.length, rtcp.length]).toEqual([true, 15, 1]);
  const made = (like: Uint8Array) => {
    const datagram = randomBytes(rng, like.length);
    datagram.set(like.subarray(0, 12));
    return datagram;
  };
  const alert = Uint8Array.of(21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40);
  const all = [...dtls, ...rtp, ...rtcp];
  const rows: readonly (readonly [Address, readonly Uint8Array[], Record<string, number>])[] = [
    [VICTIM, [...all, ...all.map(made), alert], { 'server: unknown peer': 2 * all.length + 1 }],
    [source!, rtp, { 'srtp: replayed': rtp.length }],
    [source!, rtp.map(made), { 'srtp: replayed': rtp.length }],
    [sink!, rtcp, { 'srtp: replayed': 1 }],
    [sink!, rtp, { 'srtp: unauthenticated': rtp.length }],
    [source!, [...dtls, alert], { 'peer: no handshake': dtls.length + 1 }],
  ];
  await scene.expectUndisturbed(async () => {
    for (const [from, datagrams, counts] of rows) {
      const drops = await scene.drops(() => {
        for (const datagram of datagrams) expect(scene.heardAt(from, datagram)).toEqual([]);
      });
      expect(drops).toEqual(counts);
    }
  });
});

/** What only the visitor of this peer can make, as short as can be: a check, a nomination, and what is to be refused in different ways. */
function authentic(peer: Peer, kind: number): Uint8Array {
  if (kind === 0) return scene.checkFor(peer, { nominate: true });
  const username = `${peer.iceCredentials.ufrag}:${peer.captureIdentity()!.remoteUfrag}`;
  const more = [[], [], [0x0025], [0x8029], [0x7ffe]][kind]!;
  const attributes = [{ type: 0x0006, value: utf8(username) }];
  for (const type of more) attributes.push({ type, value: new Uint8Array(0) });
  return stunRequest(attributes, peer.iceCredentials.pwd, randomBytes(scene.rng, 12));
}

it('off-path-amplification: no address that has not answered is sent more than came from it, whatever that was', async () => {
  scene = await Scene.create(2);
  const visitor = scene.peerOf(scene.viewers[1]!);
  const seeds = [
    ...new Set(
      ['stun', 'dtls', 'srtp', 'srtcp'].flatMap((kind) =>
        scene.everybody.flatMap((browser) => recorded(scene.addressOf(browser), kind).slice(0, 20)),
      ),
    ),
  ];
  const mutation = fc.record({
    seed: fc.nat(seeds.length - 1),
    at: fc.nat(1_500),
    byte: fc.nat(255),
    cut: fc.option(fc.nat(1_500), { freq: 4 }),
    made: fc.option(fc.nat(4), { freq: 2 }),
    from: fc.nat(9),
  });
  const credit = new Map<string, number>();
  let answered = 0;
  await scene.expectUndisturbed(() =>
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 40 }), fc.nat(60_000), (mutations, base) => {
        for (const { seed, at, byte, cut, made, from } of mutations) {
          const address = somewhere(base + from);
          const datagram = made === null ? seeds[seed]!.slice(0, cut ?? undefined) : authentic(visitor, made);
          if (made === null && datagram.length > 0) datagram[at % datagram.length] = byte;
          const sent = scene.heardAt(address, datagram);
          answered += sent.length;
          const left = (credit.get(addressKey(address)) ?? 0) + datagram.length - bytesOf(sent);
          expect(left).toBeGreaterThanOrEqual(0);
          credit.set(addressKey(address), left);
        }
      }),
      { numRuns: 300, seed: 11 },
    ),
  );
  expect(answered).toBeGreaterThan(300);
});

it('off-path-flood: forty thousand datagrams from as many addresses are counted and leave nothing behind', async () => {
  scene = await Scene.create(1);
  const peer = scene.peerOf(scene.viewers[0]!);
  const unknown = Array.from({ length: 50 }, (_, i) => scene.checkFor(peer, { username: `nobody${i}:is` }));
  const [rtp] = recorded(scene.addressOf(scene.broadcaster), 'srtp');
  const response = bindingSuccess(parseStun(unknown[0]!)!, VICTIM, 'x'.repeat(24));
  await scene.expectUndisturbed(async () => {
    const drops = await scene.drops(() => {
      const entries = netGrowth(() => {
        for (let i = 0; i < 40_000; i += 4) {
          for (const [j, datagram] of [unknown[i % 50]!, rtp!, response, Uint8Array.of(70, 1)].entries())
            scene.broadcast.handleDatagram(datagram, somewhere(i + j), scene.world.now);
        }
      });
      expect(entries).toBeLessThanOrEqual(DROP_REASONS);
    });
    expect(drops).toEqual({ 'server: unknown peer': 30_000, 'server: unknown kind': 10_000 });
  });
});

it('off-path-visitor-flood: a visitor who checks from ten thousand addresses is kept eight of them', async () => {
  scene = await Scene.create(2);
  const peer = scene.peerOf(scene.viewers[1]!);
  const checks = Array.from({ length: 10_000 }, () => scene.checkFor(peer, { nominate: true }));
  await scene.expectUndisturbed(() => {
    const entries = netGrowth(() => {
      for (const [i, check] of checks.entries()) scene.world.hear(check, somewhere(i));
    });
    // An address and the transaction that was sent there, in the peer and in the routes.
    expect(entries).toBeLessThanOrEqual(4 * MAX_PATHS + DROP_REASONS);
  });
});

it('off-path-nomination: a visitor who nominates somebody else is asked there, is sent no media there, and goes on getting it where it is', async () => {
  scene = await Scene.create(2);
  const visitor = scene.peerOf(scene.viewers[1]!);
  let bytesIn = 0;
  await scene.expectUndisturbed(async () => {
    for (let i = 0; i < 40; i++) {
      const check = scene.checkFor(visitor, { nominate: true });
      bytesIn += check.length;
      scene.world.inject(check, VICTIM);
      await scene.world.run(500);
    }
  });
  const sent = scene.sentTo(VICTIM);
  expect(sent.length).toBe(40);
  expect(new Set(typesOf(sent))).toEqual(new Set([STUN_TYPE.bindingRequest]));
  expect(bytesOf(sent)).toBeLessThanOrEqual(bytesIn);
});

it('off-path-first-nomination: nor does anything but the question go to somebody else who is nominated first, not even a ClientHello', async () => {
  scene = await Scene.create(1);
  const visitor = scene.world.addBrowser();
  scene.world.isolate(visitor, true);
  scene.world.open(visitor);
  await scene.until('the answer is here', () => scene.newestPeer.captureIdentity() !== undefined);
  let bytesIn = 0;
  await scene.expectUndisturbed(async () => {
    for (let i = 0; i < 20; i++) {
      const check = scene.checkFor(scene.newestPeer, { nominate: true });
      bytesIn += check.length;
      scene.world.inject(check, VICTIM);
      await scene.world.run(500);
    }
  });
  const sent = scene.sentTo(VICTIM);
  expect(new Set(typesOf(sent))).toEqual(new Set([STUN_TYPE.bindingRequest]));
  expect(bytesOf(sent)).toBeLessThanOrEqual(bytesIn);
  // The same visitor where it is: the way is free.
  scene.world.isolate(visitor, false);
  await scene.until('the visitor sees something', () => seenBy(visitor) > 0);
});

it('off-path-responses: the question is answered by nobody who has not read it where it was sent', async () => {
  scene = await Scene.create(2);
  const peer = scene.peerOf(scene.viewers[1]!);
  const here = scene.addressOf(scene.viewers[1]!);
  // The visitor's browser has told its password to the visitor; only the question itself is not seen.
  const { pwd: remotePwd } = scene.viewers[1]!.current!.credentials;
  await scene.expectUndisturbed(async () => {
    const [question] = scene.heardAt(VICTIM, scene.checkFor(peer, { nominate: true }));
    const asked = parseStun(question!)!;
    const guessed = { ...asked, transactionId: randomBytes(scene.rng, 12) };
    const drops = await scene.drops(() => {
      for (const [datagram, from] of [
        [bindingSuccess(guessed, here, remotePwd), VICTIM],
        [bindingSuccess(asked, here, 'x'.repeat(24)), VICTIM],
        [bindingSuccess(asked, here, remotePwd), somewhere(1)],
        [bindingSuccess(asked, here, remotePwd), here],
      ] as const)
        expect(scene.heardAt(from, datagram)).toEqual([]);
    });
    expect(drops).toEqual({
      'server: unknown peer': 1,
      'ice: bad integrity': 1,
      'ice: unexpected response': 2,
    });
    expect(peer.isValidated(VICTIM)).toBe(false);
  });
  const [question] = scene.heardAt(VICTIM, scene.checkFor(peer, { nominate: true }));
  scene.heardAt(VICTIM, bindingSuccess(parseStun(question!)!, here, remotePwd));
  expect(peer.remoteAddress).toEqual(VICTIM);
});

it('off-path-route: a check in the name of another visitor takes no packet from it, whether its sender stays or leaves', async () => {
  scene = await Scene.create(2);
  const [viewer, visitor] = scene.viewers;
  const peer = scene.peerOf(visitor!);
  await scene.expectUndisturbed(async () => {
    for (let i = 0; i < 20; i++) {
      for (const target of [scene.broadcaster, viewer!])
        scene.world.inject(scene.checkFor(peer, { nominate: i % 2 === 0 }), scene.addressOf(target));
      await scene.world.run(100);
    }
    scene.world.say(visitor!, { type: 'leave' });
    await scene.world.run(500);
  }, [viewer!]);
  expect([...scene.broadcast.sessions].length).toBe(2);
});

it('off-path-port-zero: a visitor who nominates port zero takes the snapshot from nobody', async () => {
  scene = await Scene.create(1);
  const [viewer] = scene.viewers;
  const check = scene.checkFor(scene.peerOf(viewer!), { nominate: true });
  expect(await scene.drops(() => scene.world.hear(check, { ...scene.addressOf(viewer!), port: 0 }))).toEqual({
    'server: unanswerable': 1,
  });
  // Every write of this world throws where a snapshot cannot be encoded.
  await scene.world.run(500);
  scene.world.kill();
  const after = await scene.world.start();
  expect([...after.sessions].map((session) => session.current?.peer.keyEpoch)).toEqual([0, 0]);
  expect(after.drops.total).toBe(0);
});

it('off-path-consent: who has gone from its address and goes on sending checks in its name gets no media there for longer than half a minute', async () => {
  scene = await Scene.create(2);
  const [viewer, visitor] = scene.viewers;
  const [here, peer] = [scene.addressOf(visitor!), scene.peerOf(visitor!)];
  // Who is there answers: nothing ends.
  await scene.expectUndisturbed(() => scene.world.run(31_000));
  scene.world.isolate(visitor!, true);
  const start = scene.world.now;
  await scene.expectUndisturbed(
    () =>
      scene.world.run(29_000, () => {
        scene.world.hear(scene.checkFor(peer), here);
        return false;
      }),
    [viewer!],
  );
  await scene.world.run(10_000, () => {
    scene.world.hear(scene.checkFor(peer), here);
    return false;
  });
  const media = scene.world.sent.filter(
    ({ to, datagram, at }) =>
      addressKey(to) === addressKey(here) && at > start && classifyDatagram(datagram) === 'srtp',
  );
  expect(media.length).toBeGreaterThan(1_000);
  expect(media.at(-1)!.at - start).toBeLessThanOrEqual(30_000);
});

it('off-path-move: a browser whose address changes has its media within two round trips and a frame of its first check, and no packet less than with the old one', async () => {
  const oneWay = 50;
  scene = await Scene.create(2, { oneWay });
  const [viewer, other] = scene.viewers;
  const before = scene.addressOf(viewer!);
  await scene.expectUndisturbed(() => scene.world.run(3_000), [other!]);
  const after = scene.move(viewer!, 50_000);
  const start = scene.world.now;
  await scene.until('media goes to the new address', () => mediaTo(after).length > 0);
  const [first] = scene.world.received.filter(({ from, at }) => from.port === after.port && at >= start);
  expect(mediaTo(after)[0]! - first!.at).toBeLessThanOrEqual(4 * oneWay + 40);
  // Until then, it went where it had gone.
  expect(mediaTo(before).at(-1)! - mediaTo(after)[0]!).toBeGreaterThan(-40);
  expectProven(after, oneWay);
  await scene.world.run(500);
  await scene.expectUndisturbed(() => scene.world.run(1_000));
});

it('off-path-move-broadcaster: nor is anybody left without pictures when it is the broadcaster who moves', async () => {
  scene = await Scene.create(2);
  const peer = scene.peerOf(scene.broadcaster);
  const after = scene.move(scene.broadcaster, 50_000);
  await scene.until('its packets are taken', () => peer.isValidated(after));
  expectProven(after, 10);
  await scene.world.run(1_000);
  await scene.expectUndisturbed(() => scene.world.run(1_000));
});

it('off-path-rekey: in a re-key too, nothing but questions goes to an address that has not answered', async () => {
  scene = await Scene.create(2);
  const before = scene.everybody.map((browser) => addressKey(scene.addressOf(browser)));
  await scene.restart();
  await scene.until('all have new keys', () =>
    scene.everybody.every(({ associations, current }) => associations.length === 2 && current!.connected),
  );
  await scene.world.run(1_000);
  for (const browser of scene.everybody) {
    const address = scene.addressOf(browser);
    expect(before).not.toContain(addressKey(address));
    expectProven(address, 10);
    expect(scene.peerOf(browser).remoteAddress).toEqual(address);
    expect(browser.made).toBe(1);
  }
  await scene.expectUndisturbed(() => scene.world.run(1_000));
});

const mediaTo = (address: Address): readonly number[] =>
  scene.world.sent.flatMap(({ to, datagram, at }) =>
    addressKey(to) === addressKey(address) && classifyDatagram(datagram) === 'srtp' ? [at] : [],
  );

/** Whatever went there but questions came after an answer from there. */
function expectProven(address: Address, oneWay: number): void {
  const key = addressKey(address);
  const answered = scene.world.received.find(
    ({ from, datagram }) =>
      addressKey(from) === key && parseStun(datagram)?.type === STUN_TYPE.bindingSuccess,
  );
  const other = scene.world.sent.filter(
    ({ to, datagram }) => addressKey(to) === key && parseStun(datagram)?.type !== STUN_TYPE.bindingRequest,
  );
  expect(other.length).toBeGreaterThan(0);
  expect(kindsOf(other.map(({ datagram }) => datagram))).toContain('stun');
  expect(other[0]!.at).toBeGreaterThanOrEqual(answered!.at + oneWay);
}
