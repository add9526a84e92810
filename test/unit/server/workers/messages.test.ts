import fc from 'fast-check';
import { expect, it } from 'vitest';
import { packTogether, takeApart } from '../../../../src/server/workers/messages.ts';

it('gives back the packets that were packed together, in their order', () => {
  const packets = fc.array(fc.uint8Array({ maxLength: 1_500 }), { maxLength: 12 });
  fc.assert(
    fc.property(packets, (given) => {
      expect([...takeApart(packTogether(given))]).toEqual(given);
    }),
  );
});

it('gives views of what it was given, and copies nothing', () => {
  const packed = packTogether([Uint8Array.of(1, 2), Uint8Array.of(3)]);
  for (const packet of takeApart(packed)) expect(packet.buffer).toBe(packed.buffer);
});
