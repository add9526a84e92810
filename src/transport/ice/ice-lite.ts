/**
 * ICE-lite (RFC 8445 §2.5): it answers checks and never sends any.
 *
 *   browser (full, controlling)                       rekeycast (lite, controlled)
 *   1. Binding request, USERNAME local:remote ──────▶  USERNAME, then MESSAGE-INTEGRITY are checked
 *   2.                                        ◀──────  Binding success: the address is *validated*
 *   3. Binding request + USE-CANDIDATE ──────▶         the address is *selected*: media goes there
 */
import { toBase64Url } from '../../util/bytes.ts';
import type { Millis } from '../../util/clock.ts';
import { Counters } from '../../util/counters.ts';
import { type RandomSource, randomBytes } from '../../util/rng.ts';
import { type Address, addressKey, sameAddress } from '../address.ts';
import {
  bindingError,
  bindingSuccess,
  parseStun,
  STUN_TYPE,
  type StunMessage,
  verifyIntegrity,
} from './stun.ts';
import { Transactions } from './transactions.ts';

/** Addresses a peer may be heard from at a time: several interfaces, before and after an ICE restart. */
const MAX_VALIDATED = 8;

/** RFC 8839 §5.4: ice-ufrag is 4*256 ice-char, ice-pwd is 22*256 ice-char. */
export const ICE_UFRAG = /^[A-Za-z0-9+/]{4,256}$/;
export const ICE_PWD = /^[A-Za-z0-9+/]{22,256}$/;

export interface IceCredentials {
  readonly ufrag: string;
  /** At least 128 random bits. */
  readonly pwd: string;
}

export type IceDropReason =
  | 'malformed'
  | 'not a request'
  | 'unknown username'
  | 'bad integrity'
  | 'replayed'
  | 'too many addresses';

export interface IceAnswer {
  readonly response: Uint8Array;
  /** Whether the sender's address may carry DTLS and SRTP of this peer from now on. */
  readonly validated: boolean;
}

/** Fresh credentials from 48 and 144 random bits (RFC 8445 §5.3 asks for at least 24 and 128). */
export function createIceCredentials(rng: RandomSource): IceCredentials {
  return { ufrag: iceChars(randomBytes(rng, 6)), pwd: iceChars(randomBytes(rng, 18)) };
}

/** One side of one connection. Holds earlier generations of credentials while an ICE restart is under way. */
export class IceLite {
  readonly drops = new Counters<IceDropReason>();
  #current: Generation;
  #previous: readonly Generation[] = [];
  readonly #validated = new Map<string, Address>();
  readonly #transactions = new Transactions();
  #selected: Address | undefined;
  #heardAt: Millis | undefined;

  constructor(credentials: IceCredentials, remoteUfrag?: string, selected?: Address) {
    this.#current = { credentials, remoteUfrag };
    if (selected !== undefined) {
      this.#selected = selected;
      this.#validated.set(addressKey(selected), selected);
    }
  }

  get credentials(): IceCredentials {
    return this.#current.credentials;
  }

  get remoteUfrag(): string | undefined {
    return this.#current.remoteUfrag;
  }

  /** Where media goes: the address nominated last. */
  get selected(): Address | undefined {
    return this.#selected;
  }

  /** When an authenticated check came last from where media goes: consent is an address's own (RFC 7675 §5.1). */
  get heardAt(): Millis | undefined {
    return this.#heardAt;
  }

  get ufrags(): readonly string[] {
    return [this.#current, ...this.#previous].map(({ credentials }) => credentials.ufrag);
  }

  /** Whether DTLS and SRTP from this address may be this peer's. */
  isValidated(address: Address): boolean {
    return this.#validated.has(addressKey(address));
  }

  /** Starts an ICE restart (RFC 8445 §9): the credentials in use stay valid until an address is nominated under the new ones. */
  restart(credentials: IceCredentials): void {
    // The last is in use. Of restarts that others have overtaken, the browser may have applied the newest.
    this.#previous = [this.#current, ...this.#previous.slice(-1)];
    this.#current = { credentials, remoteUfrag: undefined };
  }

  setRemoteUfrag(ufrag: string): void {
    this.#current.remoteUfrag = ufrag;
  }

  /** Answers a check. Nothing changes before USERNAME and MESSAGE-INTEGRITY have been verified (RFC 8445 §7.3). */
  handleDatagram(datagram: Uint8Array, from: Address, now: Millis): IceAnswer | undefined {
    const message = parseStun(datagram);
    if (message === undefined) return this.#drop('malformed');
    if (message.type !== STUN_TYPE.bindingRequest) return this.#drop('not a request');
    const generation = this.#generationOf(message);
    // An error response here would make the server a reflector for anybody; browsers do not need it.
    if (generation === undefined) return this.#drop('unknown username');
    const { pwd } = generation.credentials;
    if (!verifyIntegrity(message, pwd)) return this.#drop('bad integrity');

    if (message.unknown.length > 0) return refusal(bindingError(message, 420, pwd));
    // A lite agent is always controlled (RFC 8445 §6.1.1): a peer that is too has to switch (§7.3.1.1).
    if (message.role === 'controlled') return refusal(bindingError(message, 487, pwd));
    const response = bindingSuccess(message, from, pwd);
    if (!this.#transactions.take(message.transactionId)) {
      // RFC 8489 §6.2.1: a retransmission, answered again. Recorded by somebody and sent from elsewhere it would take the media there.
      return this.isValidated(from) ? { response, validated: true } : this.#drop('replayed');
    }
    if (!this.#validate(from)) return this.#drop('too many addresses');
    if (message.useCandidate) this.#nominate(from, generation);
    if (this.#selected === undefined || sameAddress(from, this.#selected)) this.#heardAt = now;
    return { response, validated: true };
  }

  #generationOf(message: StunMessage): Generation | undefined {
    return [this.#current, ...this.#previous].find((generation) => matches(generation, message.username));
  }

  #validate(from: Address): boolean {
    const key = addressKey(from);
    if (this.#validated.has(key)) return true;
    if (this.#validated.size >= MAX_VALIDATED) {
      const oldest = [...this.#validated.values()].find((address) => address !== this.#selected);
      if (oldest === undefined) return false;
      this.#validated.delete(addressKey(oldest));
    }
    this.#validated.set(key, from);
    return true;
  }

  /** Old credentials go when the peer has nominated an address under the new ones: until then the old path carries media. */
  #nominate(from: Address, generation: Generation): void {
    this.#selected = this.#validated.get(addressKey(from));
    if (generation === this.#current) this.#previous = [];
  }

  #drop(reason: IceDropReason): undefined {
    this.drops.add(reason);
    return undefined;
  }
}

/**
 * The local ufrag a check is addressed to, before anything about it is verified: only good for finding the peer that verifies.
 */
export function localUfragOf(datagram: Uint8Array): string | undefined {
  return parseStun(datagram)?.username?.split(':')[0];
}

interface Generation {
  readonly credentials: IceCredentials;
  remoteUfrag: string | undefined;
}

/** USERNAME is "local:remote" (RFC 8445 §7.2.2). The remote half is checked as soon as the answer has told it. */
function matches(generation: Generation, username: string | undefined): boolean {
  const colon = username?.indexOf(':') ?? -1;
  return (
    username !== undefined &&
    colon >= 0 &&
    username.slice(0, colon) === generation.credentials.ufrag &&
    (generation.remoteUfrag === undefined || username.slice(colon + 1) === generation.remoteUfrag)
  );
}

const refusal = (response: Uint8Array): IceAnswer => ({ response, validated: false });

/** ice-char is ALPHA / DIGIT / "+" / "/" (RFC 8839 §5.4); base64url differs from it in two letters. */
const iceChars = (bytes: Uint8Array): string => toBase64Url(bytes).replaceAll('-', '+').replaceAll('_', '/');
