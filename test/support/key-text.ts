import { bufferOf } from '../../src/util/bytes.ts';
import { randomBytes } from '../../src/util/rng.ts';
import { seededRandom } from './seeded-rng.ts';

/** A snapshot key as others keep it: 32 bytes in base64. */
export const keyText = (seed: number): string =>
  bufferOf(randomBytes(seededRandom(seed), 32)).toString('base64');
