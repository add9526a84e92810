import { encodeFragment, type HandshakeFragment } from '../../../src/transport/dtls/handshake.ts';
import { CONTENT_TYPE, encodeRecord } from '../../../src/transport/dtls/record.ts';
import { ByteReader, concat } from '../../../src/util/bytes.ts';
import { encodeHelloVerifyRequest } from '../../support/dtls-messages.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes, overwritten } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';
import { FLIGHTS, makePair, op, prepareDtls, SERVERS, WatchedClient } from './dtls-watched.ts';

const OP = { message: 0, patched: 1, part: 2, record: 3, raw: 4, cookie: 5, time: 6 } as const;
const OPS = 7;
/** All five messages of a server's flight. */
const FLIGHT = [0, 1, 2, 3, 4].map((i) => op(OP.message, i));

export const dtlsFlight: FuzzTarget = {
  id: 'fuzz-dtls-flight',
  claim:
    'no flight, however changed, makes the client throw, flood, give keys twice, or believe a server without its Finished',
  inputs: 1_800,
  reaches: [
    'keys',
    'failed: bad-signature',
    'failed: fingerprint-mismatch',
    'failed: timeout',
    'waiting',
    'waiting: refused-flight',
  ],
  prepare: prepareDtls,
  seeds: () =>
    SERVERS.map((_, which) => Uint8Array.of(which)).flatMap((which) => [
      concat(which, encodeScript(FLIGHT)),
      concat(which, encodeScript([...FLIGHT].reverse())),
      concat(which, encodeScript([op(OP.cookie, 1, 2, 3), op(OP.time, 0, 60), ...FLIGHT])),
      concat(which, encodeScript([...FLIGHT, op(OP.time, 0, 60), ...FLIGHT])),
      concat(
        which,
        encodeScript([op(OP.part, 0, 0, 0, 0, 40), op(OP.part, 0, 0, 20, 1, 0), ...FLIGHT.slice(1)]),
      ),
      concat(which, encodeScript([op(OP.patched, 1, 0, 9, 1), ...FLIGHT])),
      concat(which, encodeScript([...FLIGHT.slice(0, 2), op(OP.patched, 2, 0, 60, 1)])),
      concat(which, encodeScript([...FLIGHT.slice(0, 2), op(OP.patched, 2, 0, 60, 1), op(OP.time, 4, 76)])),
      concat(which, encodeScript([op(OP.message, 0), op(OP.patched, 1, 0, 9, 1), op(OP.time, 4, 76)])),
      concat(which, encodeScript([op(OP.time, 128, 0)])),
      concat(which, encodeScript([...FLIGHT, op(OP.record, 20, 0, 0, 1), op(OP.record, 21, 0, 2, 40)])),
      concat(
        which,
        encodeScript([...FLIGHT, op(OP.record, 22, 1, ...new Array(48).fill(0)), op(OP.time, 4, 76)]),
      ),
    ]),
  mutate: (input, random) =>
    concat(
      input.subarray(0, 1),
      mutateScript(input.subarray(1), random, OPS, (data) => mutateBytes(data, random, data)),
    ),
  run: (input) => {
    const which = (input[0] ?? 0) % SERVERS.length;
    const { client } = makePair(which);
    const watched = new WatchedClient(client);
    for (const step of decodeScript(input.subarray(1))) play(watched, step, FLIGHTS[which]!);
    client.dispose();
    if (watched.connected > 0) throw new Error('connected without the Finished of the server');
    if (watched.failed !== undefined) return `failed: ${watched.failed}`;
    if (watched.keys > 0) return 'keys';
    return watched.drops.includes('refused-flight') ? 'waiting: refused-flight' : 'waiting';
  },
};

function play(watched: WatchedClient, { op: code, data }: Step, flight: readonly HandshakeFragment[]): void {
  const reader = new ByteReader(data);
  switch (code % OPS) {
    case OP.message:
      watched.deliver(handshakeRecord(flight[reader.u8() % flight.length]!));
      break;
    case OP.patched: {
      const message = flight[reader.u8() % flight.length]!;
      const at = reader.u16() % Math.max(1, message.bytes.length);
      watched.deliver(handshakeRecord({ ...message, bytes: overwritten(message.bytes, at, reader.rest()) }));
      break;
    }
    case OP.part: {
      const message = flight[reader.u8() % flight.length]!;
      const offset = reader.u16();
      const bytes = message.bytes.subarray(offset, offset + reader.u16());
      watched.deliver(handshakeRecord({ ...message, offset, bytes, length: message.length + reader.u8() }));
      break;
    }
    case OP.record:
      watched.deliver(
        encodeRecord({
          type: reader.u8(),
          version: 0xfefd,
          epoch: reader.u8(),
          sequence: data.length,
          fragment: reader.rest(),
        }),
      );
      break;
    case OP.raw:
      watched.deliver(data);
      break;
    case OP.cookie: {
      const bytes = encodeHelloVerifyRequest(data.subarray(0, 255));
      watched.deliver(handshakeRecord({ type: 3, seq: 0, length: bytes.length, offset: 0, bytes }));
      break;
    }
    case OP.time:
      watched.pass(reader.u16());
      break;
  }
}

const handshakeRecord = (fragment: HandshakeFragment): Uint8Array =>
  encodeRecord({
    type: CONTENT_TYPE.handshake,
    version: 0xfefd,
    epoch: 0,
    sequence: fragment.seq,
    fragment: encodeFragment(fragment).subarray(0, 2 ** 14),
  });
