import * as fc from 'fast-check';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { CryptoKernel } from '../../../../src/transport/srtp/crypto-kernel.ts';
import { KernelProtector } from '../../../../src/transport/srtp/kernel-protector.ts';
import type { SrtpProfile } from '../../../../src/transport/srtp/profile.ts';
import { type MediaProtector, PlainProtector } from '../../../../src/transport/srtp/protector.ts';
import { SrtpReceiveContext } from '../../../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../../../src/transport/srtp/send-context.ts';
import { concat, toHex } from '../../../../src/util/bytes.ts';
import { loadKernel } from '../../../support/kernel.ts';
import { ALL_PROFILES, rtpPacket, TEST_SSRC, testMasterKey } from '../../../support/srtp.ts';

const COUNTER_MODE = 'AES_CM_128_HMAC_SHA1_80';
/** More than one of these batches fits into the kernel at once. */
const MANY_JOBS = 150;

let kernel: CryptoKernel;
beforeAll(async () => {
  kernel = await loadKernel();
});

interface Packet {
  readonly ssrc: number;
  readonly index: number;
  readonly bytes: Uint8Array;
}

const contextOf = (seed: number, profile: SrtpProfile = COUNTER_MODE) =>
  SrtpSendContext.create(profile, testMasterKey(profile, seed));

/** A packet of any shape: contributing sources, a header extension, any payload. */
const anyPacket: fc.Arbitrary<Packet> = fc
  .record({
    stream: fc.integer({ min: 0, max: 1 }),
    // Around wraps of the sequence number, below and above 2^32.
    index: fc.oneof(
      fc.integer({ min: 65_530, max: 65_545 }),
      fc.integer({ min: 65_536 * 70_000 - 6, max: 65_536 * 70_000 + 6 }),
    ),
    sources: fc.integer({ min: 0, max: 15 }),
    extensionWords: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
    payload: fc.oneof(
      { weight: 3, arbitrary: fc.uint8Array({ maxLength: 130 }) },
      fc.integer({ min: 0, max: 1_500 }).map((length) => new Uint8Array(length).fill(length)),
    ),
  })
  .map(({ stream, index, sources, extensionWords, payload }) => {
    const ssrc = TEST_SSRC + stream;
    const head = rtpPacket(index, ssrc, new Uint8Array(0));
    head[0] = 0x80 | sources | (extensionWords === undefined ? 0 : 0x10);
    const extension = new Uint8Array(extensionWords === undefined ? 0 : 4 + extensionWords * 4).fill(7);
    if (extensionWords !== undefined) extension.set([0xbe, 0xde, 0, extensionWords]);
    return { ssrc, index, bytes: concat(head, new Uint8Array(sources * 4).fill(9), extension, payload) };
  });

/** What comes of a batch, as text. `ends`: after so many results this receiver is gone. */
function trace(
  protector: MediaProtector,
  batch: readonly { readonly receiver: number; readonly packet: Packet }[],
  contexts: readonly SrtpSendContext[],
  ends?: { readonly after: number; readonly receiver: number },
): string[] {
  const results: string[] = [];
  const note = (text: string): void => {
    results.push(text);
    if (results.length === ends?.after) contexts[ends.receiver % contexts.length]!.dispose();
  };
  protector.protect(
    batch.map(({ receiver, packet }) => ({ receiver, packet, context: contexts[receiver]! })),
    ({ receiver, packet }, datagram) => note(`${receiver} ${packet.index} ${toHex(datagram)}`),
    ({ receiver, packet }, error) => note(`${receiver} ${packet.index} ${String(error)}`),
  );
  return results;
}

describe('KernelProtector', () => {
  it('gives byte for byte what PlainProtector gives, also where contexts refuse and end in mid-batch', () => {
    const batches = fc.record({
      profiles: fc.array(
        fc.oneof(
          { weight: 5, arbitrary: fc.constant(COUNTER_MODE as SrtpProfile) },
          fc.constantFrom(...ALL_PROFILES),
        ),
        { minLength: 1, maxLength: 11 },
      ),
      packets: fc.array(anyPacket, { minLength: 1, maxLength: 8 }),
      order: fc.constantFrom('by packet', 'by receiver', 'any'),
      mixed: fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: MANY_JOBS }),
      ends: fc.option(fc.record({ after: fc.integer({ min: 1, max: 40 }), receiver: fc.nat() }), {
        nil: undefined,
      }),
    });
    fc.assert(
      fc.property(batches, ({ profiles, packets, order, mixed, ends }) => {
        const jobOf = (receiver: number, packet: number) => ({
          receiver: receiver % profiles.length,
          packet: packets[packet % packets.length]!,
        });
        const batch =
          order === 'by packet'
            ? packets.flatMap((_, p) => profiles.map((_, r) => jobOf(r, p)))
            : order === 'by receiver'
              ? profiles.flatMap((_, r) => packets.map((_, p) => jobOf(r, p)))
              : mixed.map(([r, p]) => jobOf(r, p));
        const run = (protector: MediaProtector): string[] => {
          const contexts = profiles.map((profile, seed) => contextOf(seed, profile));
          const results = trace(protector, batch, contexts, ends);
          for (const context of contexts) context.dispose();
          return results;
        };
        expect(run(new KernelProtector(kernel))).toEqual(run(new PlainProtector()));
      }),
      { numRuns: 300 },
    );
  });

  it('goes on across wraps, batch after batch', () => {
    const [ours, plain] = [0, 1].map(() => [contextOf(1), contextOf(2), contextOf(3)]);
    for (let index = 65_533; index < 3 * 65_536; index += index % 65_536 === 2 ? 65_529 : 1) {
      const batch = [0, 1, 2].map((receiver) => ({
        receiver,
        packet: { ssrc: TEST_SSRC, index, bytes: rtpPacket(index) },
      }));
      expect(trace(new KernelProtector(kernel), batch, ours!)).toEqual(
        trace(new PlainProtector(), batch, plain!),
      );
    }
  });

  it('leaves longer packets than it has room for to the contexts', () => {
    const packet = { ssrc: TEST_SSRC, index: 5, bytes: rtpPacket(5, TEST_SSRC, new Uint8Array(9_000)) };
    const receive = SrtpReceiveContext.create(COUNTER_MODE, testMasterKey(COUNTER_MODE, 1));
    const emitted: Uint8Array[] = [];
    new KernelProtector(kernel).protect(
      [{ context: contextOf(1), packet }],
      (_job, datagram) => emitted.push(datagram),
      (_job, error) => expect.unreachable(String(error)),
    );
    expect(receive.unprotectRtp(emitted[0]!)?.packet).toEqual(packet.bytes);
  });

  it('fails a context alone whose cipher throws, and spends its index', () => {
    const contexts = [1, 2, 3].map((seed) => contextOf(seed));
    const broken = vi.spyOn(contexts[1]!.kernelKeys(kernel)!, 'encrypt').mockImplementation(() => {
      throw new Error('no cipher');
    });
    const batch = [0, 1, 2].map((receiver) => ({ receiver, packet: packetOf(7) }));
    const results = trace(new KernelProtector(kernel), batch, contexts);
    expect(results.map((text) => text.replace(/ [0-9a-f]{20,}$/, ''))).toEqual([
      '0 7',
      '1 7 Error: no cipher',
      '2 7',
    ]);
    broken.mockRestore();
    expect(trace(new KernelProtector(kernel), batch.slice(1, 2), contexts)[0]).toContain(
      'index 7 was protected before',
    );
  });

  it('goes on the plain way where the kernel has no place left, and takes a place that was left', async () => {
    const small = await loadKernel();
    const contexts: SrtpSendContext[] = [];
    for (let seed = 0; contexts.at(-1)?.kernelKeys(small) !== undefined || seed === 0; seed++)
      contexts.push(contextOf(seed));
    const [first, last] = [contexts[0]!, contexts.at(-1)!];
    const twin = contextOf(contexts.length - 1);
    const job = [{ receiver: 0, packet: packetOf(7) }];
    expect(trace(new KernelProtector(small), job, [last])).toEqual(trace(new PlainProtector(), job, [twin]));
    first.dispose();
    expect(last.kernelKeys(small)).toBeDefined();
    const next = [{ receiver: 0, packet: packetOf(8) }];
    expect(trace(new KernelProtector(small), next, [last])).toEqual(
      trace(new PlainProtector(), next, [twin]),
    );
  });
});

describe('the memory of the kernel', () => {
  it('holds no key, no counter block and no keystream once the contexts are gone', async () => {
    const fresh = await loadKernel();
    const before = fresh.memory.slice();
    const contexts = [1, 2, 3, 4, 5].map((seed) => contextOf(seed));
    // No payload: what is left in its place in the end is all zeroes where keystream was zeroed.
    const batch = contexts.flatMap((_, receiver) =>
      [7, 8].map((index) => ({ receiver, packet: packetOf(index, new Uint8Array(300)) })),
    );
    const datagrams = trace(new KernelProtector(fresh), batch, contexts);
    const heads = contexts.map((context) => {
      const at = fresh.recordAt(context.kernelKeys(fresh)!);
      return fresh.memory.slice(at, at + 64);
    });
    for (const head of heads) expect(holds(fresh.memory, head)).toBe(true);
    for (const context of contexts) context.dispose();
    for (const head of heads)
      for (const part of [0, 20, 40]) expect(holds(fresh.memory, head.slice(part, part + 14))).toBe(false);
    // The payload is zeroes, so what was sent is the keystream: it stays in the places of the datagrams, and nowhere else.
    for (const text of datagrams) {
      const [, , hex] = text.split(' ');
      const piece = Uint8Array.from(Buffer.from(hex!, 'hex')).slice(40, 72);
      expect(count(fresh.memory, piece)).toBe(1);
    }
    expect(fresh.memory.length).toBe(before.length);
  });
});

const packetOf = (index: number, payload?: Uint8Array): Packet => ({
  ssrc: TEST_SSRC,
  index,
  bytes: rtpPacket(index, TEST_SSRC, payload),
});

const holds = (memory: Uint8Array, part: Uint8Array): boolean => count(memory, part) > 0;

function count(memory: Uint8Array, part: Uint8Array): number {
  const text = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
  let found = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) found++;
  return found;
}
