import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HandshakeFragment } from '../../../../src/transport/dtls/handshake.ts';
import { MAX_MESSAGE_BYTES, MESSAGE_WINDOW, Reassembly } from '../../../../src/transport/dtls/reassembly.ts';

const TYPE = 11;

function piece(body: Uint8Array, offset: number, length: number, seq = 0): HandshakeFragment {
  return {
    type: TYPE,
    seq,
    length: body.length,
    offset,
    bytes: body.slice(offset, offset + length),
  };
}

describe('reassembly', () => {
  it('restores messages from any pieces, overlapping, twice and in any order', () => {
    const cut = fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 80 }));
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), {
          minLength: 1,
          maxLength: MESSAGE_WINDOW,
        }),
        fc.array(cut, { maxLength: 30 }),
        fc.infiniteStream(fc.nat()),
        (bodies, cuts, order) => {
          const pieces = bodies.flatMap((body, seq) => [
            ...cuts.filter(([at]) => at < body.length).map(([at, size]) => piece(body, at, size, seq)),
            // So that nothing is missing in the end.
            ...Array.from({ length: Math.ceil(body.length / 60) }, (_, i) => piece(body, i * 60, 60, seq)),
          ]);
          const reassembly = new Reassembly(0);
          while (pieces.length > 0) {
            const [next] = pieces.splice(order.next().value! % pieces.length, 1);
            expect(reassembly.add(next!)).toBe('kept');
          }
          for (const [seq, body] of bodies.entries()) {
            expect(reassembly.peek()).toEqual({ type: TYPE, seq, body });
            reassembly.accept();
          }
          expect(reassembly.peek()).toBeUndefined();
        },
      ),
    );
  });

  it('has nothing to show while a byte is missing', () => {
    const reassembly = new Reassembly(0);
    const body = Uint8Array.of(1, 2, 3);
    reassembly.add(piece(body, 0, 1));
    reassembly.add(piece(body, 2, 1));
    expect(reassembly.peek()).toBeUndefined();
    reassembly.add(piece(body, 1, 1));
    expect(reassembly.peek()?.body).toEqual(body);
  });

  it('shows messages in their order only', () => {
    const reassembly = new Reassembly(0);
    reassembly.add(piece(Uint8Array.of(2), 0, 1, 1));
    expect(reassembly.peek()).toBeUndefined();
    reassembly.add(piece(Uint8Array.of(1), 0, 1, 0));
    expect(reassembly.peek()?.seq).toBe(0);
    reassembly.accept();
    expect(reassembly.peek()?.seq).toBe(1);
  });

  it.each([
    ['type', { type: TYPE + 1 }],
    ['length', { length: 9 }],
    ['bytes', { bytes: Uint8Array.of(9, 9) }],
  ])('drops a piece that disagrees about the %s, and is none the worse for it', (_, lie) => {
    const reassembly = new Reassembly(0);
    const body = Uint8Array.of(1, 2, 3, 4);
    reassembly.add(piece(body, 0, 2));
    expect(reassembly.add({ ...piece(body, 1, 2), ...lie })).toBe('conflicting-fragment');
    expect(reassembly.add(piece(body, 2, 2))).toBe('kept');
    expect(reassembly.peek()?.body).toEqual(body);
  });

  it('tells what was taken before from what is new', () => {
    const reassembly = new Reassembly(3);
    const body = Uint8Array.of(1);
    expect(reassembly.add(piece(body, 0, 1, 2))).toBe('retransmission');
    expect(reassembly.add(piece(body, 0, 1, 3))).toBe('kept');
    reassembly.accept();
    expect(reassembly.add(piece(body, 0, 1, 3))).toBe('retransmission');
    expect(reassembly.next).toBe(4);
  });

  it('keeps a window of messages and nothing beyond', () => {
    const reassembly = new Reassembly(0);
    const body = Uint8Array.of(1);
    expect(reassembly.add(piece(body, 0, 1, MESSAGE_WINDOW - 1))).toBe('kept');
    expect(reassembly.add(piece(body, 0, 1, MESSAGE_WINDOW))).toBe('out-of-window');
  });

  it('keeps messages up to a size and nothing larger', () => {
    const reassembly = new Reassembly(0);
    expect(reassembly.add(piece(new Uint8Array(MAX_MESSAGE_BYTES), 0, 10, 0))).toBe('kept');
    expect(reassembly.add(piece(new Uint8Array(MAX_MESSAGE_BYTES + 1), 0, 10, 1))).toBe('message-too-large');
  });

  it('takes the same message again after the first was rejected', () => {
    const reassembly = new Reassembly(0);
    reassembly.add(piece(Uint8Array.of(6, 6, 6), 0, 3));
    reassembly.reject();
    expect(reassembly.peek()).toBeUndefined();
    expect(reassembly.add(piece(Uint8Array.of(1, 2), 0, 2))).toBe('kept');
    expect(reassembly.peek()?.body).toEqual(Uint8Array.of(1, 2));
  });
});
