import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CIPHER_SUITES } from '../../../../src/transport/dtls/cipher-suite.ts';
import {
  FIRST_RETRANSMIT_MS,
  type FlightMessage,
  MAX_DATAGRAM_BYTES,
  packFlight,
  RecordWriter,
  RetransmitTimer,
} from '../../../../src/transport/dtls/flight.ts';
import { decodeFragments } from '../../../../src/transport/dtls/handshake.ts';
import { Reassembly } from '../../../../src/transport/dtls/reassembly.ts';
import { CONTENT_TYPE, decodeRecords } from '../../../../src/transport/dtls/record.ts';
import { RecordProtection } from '../../../../src/transport/dtls/record-protection.ts';
import { Secret } from '../../../../src/util/secret.ts';

const protection = (): RecordProtection =>
  new RecordProtection(CIPHER_SUITES[0]!, Secret.alloc(16), Secret.alloc(4));

function protectedWriter(): RecordWriter {
  const writer = new RecordWriter();
  writer.protect(protection());
  return writer;
}

const body = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill);

describe('packing a flight', () => {
  it('keeps every datagram within the limit and loses nothing, in either epoch', () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(lengths, fc.constantFrom<0 | 1>(0, 1), (sizes, epoch) => {
        const flight = sizes.map((size, seq): FlightMessage => {
          return { kind: 'handshake', epoch, message: { type: 11, seq, body: body(size, seq) } };
        });
        const reassembly = new Reassembly(0);
        for (const datagram of packFlight(flight, protectedWriter())) {
          expect(datagram.length).toBeLessThanOrEqual(MAX_DATAGRAM_BYTES);
          for (const record of decodeRecords(datagram)) {
            const plain = epoch === 0 ? record : protection().open(record!);
            for (const fragment of decodeFragments(plain!.fragment)) {
              expect(reassembly.add(fragment!)).toBe('kept');
            }
          }
        }
        for (const [seq, size] of sizes.entries()) {
          expect(reassembly.peek()).toEqual({ type: 11, seq, body: body(size, seq) });
          reassembly.accept();
        }
      }),
      { numRuns: 50 },
    );
  });

  it('does not cut what fits a datagram of its own', () => {
    const flight: FlightMessage[] = [700, 700].map((size, seq) => {
      return { kind: 'handshake', epoch: 0, message: { type: 11, seq, body: body(size) } };
    });
    const datagrams = packFlight(flight, new RecordWriter());
    expect(datagrams.map(({ length }) => length)).toEqual([725, 725]);
  });

  it('puts ChangeCipherSpec where it stands, in epoch 0', () => {
    const finished = { type: 20, seq: 3, body: body(12) };
    const flight: FlightMessage[] = [
      { kind: 'change-cipher-spec' },
      { kind: 'handshake', epoch: 1, message: finished },
    ];
    const [datagram] = packFlight(flight, protectedWriter());
    const records = [...decodeRecords(datagram!)].map((record) => [
      record!.type,
      record!.epoch,
      record!.sequence,
    ]);
    expect(records).toEqual([
      [CONTENT_TYPE.changeCipherSpec, 0, 0],
      [CONTENT_TYPE.handshake, 1, 0],
    ]);
  });

  it('numbers no record twice, however often the flight is packed', () => {
    const writer = protectedWriter();
    const flight: FlightMessage[] = [0, 1].map((epoch) => {
      return { kind: 'handshake', epoch: epoch as 0 | 1, message: { type: 11, seq: epoch, body: body(5) } };
    });
    const numbers = Array.from({ length: 5 }, () => packFlight(flight, writer))
      .flat()
      .flatMap((datagram) => [...decodeRecords(datagram)])
      .map((record) => `${record!.epoch}/${record!.sequence}`);
    expect(new Set(numbers).size).toBe(10);
  });

  it('needs keys for epoch 1', () => {
    expect(() => new RecordWriter().write(CONTENT_TYPE.handshake, 1, body(1))).toThrow('no keys');
  });
});

describe('the retransmission timer', () => {
  it('doubles its wait up to a second', () => {
    const timer = new RetransmitTimer();
    timer.start(0);
    const waits: number[] = [];
    for (let now = 0; waits.length < 7; now = timer.deadline!, timer.again(now))
      waits.push(timer.deadline! - now);
    expect(waits).toEqual([50, 100, 200, 400, 800, 1000, 1000]);
  });

  it('keeps a fixed interval', () => {
    const timer = new RetransmitTimer();
    timer.start(0, 20);
    timer.again(20);
    timer.again(40);
    expect(timer.deadline).toBe(60);
  });

  it('keeps a fixed interval for three seconds only', () => {
    const timer = new RetransmitTimer();
    timer.start(0, 20);
    let sent = 0;
    for (let now = timer.deadline!; now < 30_000; now = timer.deadline!, sent++) timer.again(now);
    expect(sent).toBeGreaterThan(150);
    expect(sent).toBeLessThan(185);
  });

  it('slows down when asked to, from the next time on', () => {
    const timer = new RetransmitTimer();
    timer.start(0, 10);
    timer.again(10);
    timer.slowDown(16);
    expect(timer.deadline).toBe(20);
    const waits: number[] = [];
    for (let now = 20; waits.length < 8; now = timer.deadline!) {
      timer.again(now);
      waits.push(timer.deadline! - now);
    }
    expect(waits).toEqual([20, 40, 80, 160, 320, 640, 1000, 1000]);
  });

  it('goes on as it was where there is nothing to slow down', () => {
    const timer = new RetransmitTimer();
    timer.start(0);
    timer.slowDown(10);
    expect(timer.deadline).toBe(FIRST_RETRANSMIT_MS);
    timer.stop();
    timer.slowDown(20);
    expect(timer.deadline).toBeUndefined();
  });

  it('starts over with a new flight, and is silent when stopped', () => {
    const timer = new RetransmitTimer();
    timer.start(0);
    timer.again(50);
    timer.start(60);
    expect(timer.deadline).toBe(60 + FIRST_RETRANSMIT_MS);
    timer.stop();
    expect(timer.deadline).toBeUndefined();
    expect(timer.mayAnswer(10_000)).toBe(false);
  });

  it('lets a repetition be answered once an interval, without waiting longer for it', () => {
    const timer = new RetransmitTimer();
    timer.start(0);
    expect(timer.mayAnswer(49)).toBe(false);
    expect(timer.mayAnswer(50)).toBe(true);
    timer.again(50, true);
    expect(timer.deadline).toBe(100);
    expect(timer.mayAnswer(99)).toBe(false);
  });
});
