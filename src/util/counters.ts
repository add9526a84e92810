/**
 * Counts by reason: every datagram that is dropped is counted under one of the literal reasons of the engine
 * that dropped it.
 */
export class Counters<Reason extends string> {
  readonly #counts = new Map<Reason, number>();

  add(reason: Reason, count = 1): void {
    this.#counts.set(reason, this.get(reason) + count);
  }

  get(reason: Reason): number {
    return this.#counts.get(reason) ?? 0;
  }

  /** Adds the counts of another. */
  absorb(other: Counters<Reason>): void {
    for (const [reason, count] of other.#counts) this.add(reason, count);
  }

  get total(): number {
    let sum = 0;
    for (const count of this.#counts.values()) sum += count;
    return sum;
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}

/** Adds the counts of one engine to those of many, as `<engine>: <reason>`. */
export function countUnder<Reason extends string>(
  all: Counters<string>,
  engine: string,
  drops: Counters<Reason>,
): void {
  for (const [reason, count] of Object.entries(drops.toJSON())) all.add(`${engine}: ${reason}`, count);
}
