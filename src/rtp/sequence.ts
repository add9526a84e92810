import { modulo } from '../util/modular.ts';

const SEQUENCE_NUMBERS = 2 ** 16;
const HALF = 2 ** 15;

/**
 * Follows a stream's 16-bit sequence numbers as extended ones that never wrap. The first number stands for itself; what is older than a
 * first number near zero is negative.
 */
export class SequenceUnwrapper {
  #highest: number | undefined;

  /** Goes on from the highest extended number seen so far, where it is known. */
  constructor(highest?: number) {
    this.#highest = highest;
  }

  /** The highest extended number so far, `undefined` before the first. */
  get highest(): number | undefined {
    return this.#highest;
  }

  unwrap(sequenceNumber: number): number {
    const extended =
      this.#highest === undefined ? sequenceNumber : nearestExtended(sequenceNumber, this.#highest);
    if (this.#highest === undefined || extended > this.#highest) this.#highest = extended;
    return extended;
  }
}

/** The extended number nearest to `reference` that has these low 16 bits (RFC 3711 appendix A); negative before number zero. */
export function nearestExtended(sequenceNumber: number, reference: number): number {
  const low = modulo(reference, SEQUENCE_NUMBERS);
  const candidate = reference - low + sequenceNumber;
  if (low < HALF && sequenceNumber - low > HALF) return candidate - SEQUENCE_NUMBERS;
  if (low >= HALF && low - HALF > sequenceNumber) return candidate + SEQUENCE_NUMBERS;
  return candidate;
}
