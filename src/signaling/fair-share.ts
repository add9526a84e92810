import { ipBytes } from '../transport/ice/stun.ts';
import { toHex } from '../util/bytes.ts';

/**
 * Shares out places that may run out. Nobody is limited while there are some; where all are taken, who holds most gives up the newest. So one
 * owner cannot keep the others out, and visitors who all come by one proxy are not held to a number made for one of them.
 */
export class FairShare<Place> {
  readonly #limit: number;
  readonly #limitOf: (owner: string) => number;
  readonly #owners = new Map<Place, string>();
  /** Oldest first. */
  readonly #held = new Map<string, Place[]>();

  /** @param limitOf what this owner may hold, however many there are */
  constructor(limit: number, limitOf: (owner: string) => number = () => Number.POSITIVE_INFINITY) {
    this.#limit = limit;
    this.#limitOf = limitOf;
  }

  get taken(): number {
    return this.#owners.size;
  }

  /** Oldest first. */
  heldBy(owner: string): readonly Place[] {
    return this.#held.get(owner) ?? [];
  }

  /** Whether this owner may hold no more, though others may. */
  isAtLimit(owner: string): boolean {
    return (this.#held.get(owner)?.length ?? 0) >= this.#limitOf(owner);
  }

  /**
   * Takes a place. Gives what has to go for it, which is the newcomer itself where its owner holds most, or as many as one may.
   */
  take(owner: string, place: Place): Place | undefined {
    if (this.isAtLimit(owner)) return place;
    this.hold(owner, place);
    if (this.taken <= this.#limit) return undefined;
    let most = this.#held.get(owner)!;
    for (const theirs of this.#held.values()) if (theirs.length > most.length) most = theirs;
    const newest = most.at(-1)!;
    this.release(newest);
    return newest;
  }

  /** Whoever had it before, this place is this owner's, whatever the limits: who is in is not put out because the limits are others now. */
  hold(owner: string, place: Place): void {
    this.release(place);
    const held = this.#held.get(owner) ?? [];
    held.push(place);
    this.#held.set(owner, held);
    this.#owners.set(place, owner);
  }

  /** Gives a place back; nothing happens where it was given up already. */
  release(place: Place): void {
    const owner = this.#owners.get(place);
    const held = owner === undefined ? undefined : this.#held.get(owner);
    if (owner === undefined || held === undefined) return;
    this.#owners.delete(place);
    held.splice(held.lastIndexOf(place), 1);
    if (held.length === 0) this.#held.delete(owner);
  }
}

/** Whose a visit is: an IPv4 address, or the 64 bits of an IPv6 address that its owner does not choose (RFC 6177 §2). */
export function ownerOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  return address.includes(':') ? toHex(ipBytes(address).subarray(0, 8)) : address;
}
