import { afterEach, expect, it } from 'vitest';
import type { Address } from '../../src/transport/address.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { encodeMessage, HANDSHAKE_TYPE } from '../../src/transport/dtls/handshake.ts';
import { CONTENT_TYPE, DTLS_1_2, encodeRecord } from '../../src/transport/dtls/record.ts';
import { clientHelloRandom } from '../support/capture.ts';
import { testIdentity } from '../support/dtls-identity.ts';
import { encodeCertificateRequest, encodeHelloVerifyRequest } from '../support/dtls-messages.ts';
import { DtlsTestServer, type ServerKnobs } from '../support/dtls-server.ts';
import { seenBy } from '../support/on-air.ts';
import { Scene } from '../support/scene.ts';
import { seededRandom } from '../support/seeded-rng.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';

const ELSEWHERE: Address = { ip: '192.0.2.66', port: 5_004 };

let scene: Scene;
afterEach(() => scene.dispose());

/** DTLS that somebody on the path has recorded of this browser so far. */
const recorded = (browser: VirtualBrowser): readonly Uint8Array[] =>
  scene.world.received.flatMap(({ from: { ip }, datagram }) =>
    ip === scene.addressOf(browser).ip && classifyDatagram(datagram) === 'dtls' ? [datagram] : [],
  );

/** The newest ClientHello that the server has sent to this browser since then. */
function helloAfter(browser: VirtualBrowser, since: number): Uint8Array | undefined {
  const { ip } = scene.addressOf(browser);
  return scene.world.sent.findLast(
    ({ to, datagram, at }) => to.ip === ip && at >= since && clientHelloRandom(datagram) !== undefined,
  )?.datagram;
}

async function flightFor(
  hello: Uint8Array,
  knobs: ServerKnobs = {},
  certificate?: Uint8Array,
): Promise<Uint8Array[]> {
  const shown = certificate === undefined ? {} : { certificate };
  const server = new DtlsTestServer({
    identity: await testIdentity(),
    rng: seededRandom(77),
    knobs: { ...knobs, ...shown },
  });
  server.handleDatagram(hello, 0);
  const flight: Uint8Array[] = [];
  for (let sent = server.pollDatagram(); sent !== undefined; sent = server.pollDatagram()) flight.push(sent);
  return flight;
}

const plain = (type: number, body: Uint8Array): Uint8Array =>
  encodeRecord({ type, version: DTLS_1_2, epoch: 0, sequence: 900, fragment: body });
const cookie = (n: number): Uint8Array =>
  plain(
    CONTENT_TYPE.handshake,
    encodeMessage({
      type: HANDSHAKE_TYPE.helloVerifyRequest,
      seq: 0,
      body: encodeHelloVerifyRequest(Uint8Array.of(n)),
    }),
  );
const ALERTS = [Uint8Array.of(2, 40), Uint8Array.of(1, 0), Uint8Array.of(2, 0)];

const ROGUES: readonly {
  readonly id: string;
  readonly sentence: string;
  readonly knobs: ServerKnobs;
  readonly reason: string;
}[] = [
  {
    id: 'handshake-visitor-signature',
    sentence:
      'a visitor whose signature is random gets no packet, the failure is reported, and nobody else notices',
    knobs: { signature: 'random' },
    reason: 'bad-signature',
  },
  {
    id: 'handshake-visitor-version',
    sentence: 'a visitor who speaks an older version gets no packet either',
    knobs: { version: 0xfeff },
    reason: 'unsupported-version',
  },
  {
    id: 'handshake-visitor-finished',
    sentence: 'a visitor whose Finished is random loses the keys it had for a round trip',
    knobs: { finished: 'random' },
    reason: 'bad-finished',
  },
];

it.each(ROGUES.map((row) => [`${row.id}: ${row.sentence}`, row] as const))(
  '%s',
  async (_, { knobs, reason }) => {
    scene = await Scene.create(1);
    const rogue = scene.addRogue(knobs);
    await scene.expectUndisturbed(() => scene.world.run(5_000), undefined, reason === 'bad-finished');
    const failures = scene.world.events.filter(({ event }) => event === 'handshake-failed');
    expect(failures.length).toBeGreaterThan(0);
    for (const failure of failures) expect(failure).toMatchObject({ reason });
    const sessions = [...scene.broadcast.sessions].at(-1)!.connections;
    expect(sessions.every(({ peer }) => peer.keyEpoch === undefined)).toBe(true);
    if (reason !== 'bad-finished') expect(seenBy(rogue)).toBe(0);
  },
);

it('handshake-live-alerts: alerts, cookies and hellos in the clear are dropped by a live session, from wherever they come', async () => {
  scene = await Scene.create(2);
  const junk = [
    ...ALERTS.map((alert) => plain(CONTENT_TYPE.alert, alert)),
    plain(CONTENT_TYPE.changeCipherSpec, Uint8Array.of(1)),
    plain(CONTENT_TYPE.handshake, encodeMessage({ type: 0, seq: 0, body: new Uint8Array(0) })),
    ...Array.from({ length: 20 }, (_, i) => cookie(i)),
  ];
  await scene.expectUndisturbed(async () => {
    for (const from of [ELSEWHERE, ...scene.everybody.map((browser) => scene.addressOf(browser))]) {
      const reason = from === ELSEWHERE ? 'server: unknown peer' : 'peer: no handshake';
      const drops = await scene.drops(() => {
        for (const datagram of junk) expect(scene.heardAt(from, datagram)).toEqual([]);
      });
      expect(drops).toEqual({ [reason]: junk.length });
    }
  });
});

/** What is sent to the server in the viewer's name while a re-key is under way, and what it is counted as. */
const INJECTIONS: readonly {
  readonly id: string;
  readonly sentence: string;
  readonly datagrams: (
    viewer: VirtualBrowser,
    before: readonly Uint8Array[],
  ) => Promise<readonly Uint8Array[]>;
  readonly counted: string;
  readonly from?: Address;
}[] = [
  {
    id: 'handshake-rekey-replayed',
    sentence: 'a re-key is not ended by the flight of the epoch before, of the same certificate, sent again',
    datagrams: async (_viewer, before) => before,
    counted: 'dtls: refused-flight',
  },
  {
    id: 'handshake-rekey-foreign',
    sentence: 'a re-key is not ended by the recorded flight of another visitor',
    datagrams: async () => recorded(scene.viewers[1]!),
    counted: 'dtls: refused-flight',
  },
  {
    id: 'handshake-rekey-forged',
    sentence: 'a re-key is not ended by a flight made for it by somebody with a certificate of their own',
    datagrams: async (viewer) => flightFor(helloAfter(viewer, scene.world.now - 100)!),
    counted: 'dtls: refused-flight',
  },
  {
    id: 'handshake-rekey-stolen-certificate',
    sentence: 'a re-key is not ended by a flight that shows the right certificate and has no key to it',
    datagrams: async (viewer) =>
      flightFor(helloAfter(viewer, scene.world.now - 100)!, {}, viewer.certificate),
    counted: 'dtls: refused-flight',
  },
  {
    id: 'handshake-rekey-alerts',
    sentence: 'a re-key is not ended by alerts in the clear',
    datagrams: async () => ALERTS.map((alert) => plain(CONTENT_TYPE.alert, alert)),
    counted: 'dtls: plaintext-alert',
  },
  {
    id: 'handshake-rekey-elsewhere',
    sentence: 'a re-key takes no ServerHello from another address',
    datagrams: async (viewer) => flightFor(helloAfter(viewer, scene.world.now - 100)!),
    counted: 'server: unknown peer',
    from: ELSEWHERE,
  },
];

it.each(INJECTIONS.map((row) => [`${row.id}: ${row.sentence}`, row] as const))('%s', async (_, row) => {
  const { datagrams, counted, from } = row;
  scene = await Scene.create(2);
  const [viewer, other] = scene.viewers;
  const address = scene.addressOf(viewer!);
  const since = scene.world.now;
  const before = recorded(viewer!);
  expect(before.length).toBeGreaterThan(1);
  await scene.restart();
  // The ClientHello has left, and no flight is back.
  await scene.until('the re-key is under way', () => helloAfter(viewer!, since) !== undefined);
  const forged = await datagrams(viewer!, before);
  const drops = await scene.drops(() => {
    for (const datagram of forged) scene.world.hear(datagram, from ?? address);
  });
  expect(Object.keys(drops)).toContain(counted);
  await scene.until('both have their new keys', () =>
    [viewer!, other!].every(({ associations, current }) => associations.length === 2 && current!.connected),
  );
  // In place, on the connections they have: the honest handshake went through.
  expect([viewer!.made, other!.made]).toEqual([1, 1]);
  expect(scene.world.events.filter(({ event }) => event === 'handshake-failed')).toEqual([]);
  await scene.world.run(1_000);
  await scene.expectUndisturbed(() => scene.world.run(1_000));
});

it('handshake-rekey-planted: a message planted where nothing is signed costs the handshake, and the viewer goes on over another connection', async () => {
  scene = await Scene.create(2);
  const [viewer, other] = scene.viewers;
  const address = scene.addressOf(viewer!);
  const since = scene.world.now;
  await scene.restart();
  await scene.until('the re-key is under way', () => helloAfter(viewer!, since) !== undefined);
  const planted = {
    type: HANDSHAKE_TYPE.certificateRequest,
    seq: 3,
    body: encodeCertificateRequest([64], [0x0403]),
  };
  scene.world.hear(plain(CONTENT_TYPE.handshake, encodeMessage(planted)), address);
  const before = seenBy(viewer!);
  await scene.until(
    'the viewer has keys and sees something',
    () => viewer!.made === 2 && seenBy(viewer!) > before + 30,
  );
  expect([viewer!.made, other!.made]).toEqual([2, 1]);
  await scene.expectUndisturbed(() => scene.world.run(1_000));
});
