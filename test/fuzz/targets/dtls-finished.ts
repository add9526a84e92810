import { isDeepStrictEqual } from 'node:util';
import { decodeRecords, encodeRecord } from '../../../src/transport/dtls/record.ts';
import { ByteReader, concat } from '../../../src/util/bytes.ts';
import type { DtlsTestServer } from '../../support/dtls-server.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes, overwritten } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';
import { datagramsOf, makePair, op, prepareDtls, WatchedClient } from './dtls-watched.ts';

const END = { answer: 0, patched: 1, sealed: 2, record: 3, raw: 4, time: 5 } as const;
const ENDS = 6;

export const dtlsFinished: FuzzTarget = {
  id: 'fuzz-dtls-finished',
  claim:
    'a client that waits for Finished takes the genuine one only, and nothing unauthenticated ends or moves it',
  inputs: 400,
  reaches: [
    'connected',
    'waiting',
    'failed: closed-by-peer',
    'failed: bad-finished',
    'failed: unexpected-message',
  ],
  prepare: prepareDtls,
  seeds: () =>
    [
      [op(END.answer)],
      [op(END.answer), op(END.answer), op(END.raw, 23, 254, 253, 0, 1)],
      [op(END.patched, 0, 40, 1), op(END.answer)],
      [op(END.sealed, 21, 1, 90), op(END.sealed, 23, 1, 2, 3), op(END.answer)],
      [op(END.sealed, 21, 1, 0)],
      [op(END.sealed, 22, 20, 0, 0, 12, 0, 5, 0, 0, 0, 0, 0, 12, ...new Array(12).fill(0))],
      [op(END.sealed, 22, 14, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0)],
      [
        op(END.record, 20, 0, 1),
        op(END.record, 21, 0, 2, 40),
        op(END.record, 22, 1, ...new Array(30).fill(1)),
        op(END.answer),
      ],
      [op(END.time, 255), op(END.time, 255), op(END.answer)],
    ].map(encodeScript),
  mutate: (input, random) => mutateScript(input, random, ENDS, (data) => mutateBytes(data, random, data)),
  run: (input) => {
    const { client, server } = makePair(0);
    const hello = client.pollOutput();
    if (hello?.kind === 'transmit') server.handleDatagram(hello.datagram, 0);
    const watched = new WatchedClient(client);
    for (const datagram of datagramsOf(server))
      for (const flight of watched.deliver(datagram)) server.handleDatagram(flight, 0);
    if (watched.keys !== 1) throw new Error('the handshake did not come to its keys');
    const honest = concat(...datagramsOf(server));
    const touched = { authentic: false, timedOut: false };
    for (const step of decodeScript(input)) conclude(watched, step, honest, server, touched);
    client.dispose();
    if (watched.failed !== undefined && !touched.authentic && watched.failed !== 'timeout')
      throw new Error(`ended by something unauthenticated: ${watched.failed}`);
    if (watched.connected > 0) return 'connected';
    return watched.failed === undefined ? 'waiting' : `failed: ${watched.failed}`;
  },
};

function conclude(
  watched: WatchedClient,
  { op: code, data }: Step,
  honest: Uint8Array,
  server: DtlsTestServer,
  touched: { authentic: boolean },
): void {
  const reader = new ByteReader(data);
  const before = watched.connected;
  let genuine = false;
  switch (code % ENDS) {
    case END.answer:
      watched.deliver(honest);
      genuine = true;
      break;
    case END.patched: {
      const patched = overwritten(honest, reader.u16() % honest.length, reader.rest());
      genuine = genuineFinished(patched, honest);
      watched.deliver(patched);
      break;
    }
    case END.sealed:
      // What the other end itself says, under its keys: it may end the handshake, and that is all.
      server.sendProtected(reader.u8(), reader.rest().subarray(0, 1_024));
      touched.authentic = true;
      for (const datagram of datagramsOf(server)) watched.deliver(datagram);
      break;
    case END.record: {
      const [type, epoch] = [reader.u8(), reader.u8()];
      watched.deliver(
        encodeRecord({ type, version: 0xfefd, epoch, sequence: data.length, fragment: reader.rest() }),
      );
      break;
    }
    case END.raw:
      watched.deliver(data);
      break;
    case END.time:
      watched.pass(reader.u8());
      break;
  }
  if (watched.connected > before && !genuine && !touched.authentic)
    throw new Error('connected without the genuine Finished');
}

/** Whether the last record, which holds Finished, is among those of the patched datagram. */
function genuineFinished(patched: Uint8Array, honest: Uint8Array): boolean {
  const finished = [...decodeRecords(honest)].at(-1);
  return [...decodeRecords(patched)].some((one) => isDeepStrictEqual(one, finished));
}
