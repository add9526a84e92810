import { randomFillSync } from 'node:crypto';
import { readUint32 } from './bytes.ts';

/** Where random bytes come from. Engines take one; outside tests it is always {@link secureRandom}. */
export interface RandomSource {
  fill(target: Uint8Array): void;
}

/** The system's random bytes. */
export const secureRandom: RandomSource = {
  fill: (target) => {
    randomFillSync(target);
  },
};

export function randomBytes(source: RandomSource, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  source.fill(bytes);
  return bytes;
}

export function randomUint32(source: RandomSource): number {
  return readUint32(randomBytes(source, 4), 0);
}
