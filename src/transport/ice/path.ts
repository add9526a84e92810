import { equalConstantTime } from '../../util/bytes.ts';
import type { Millis } from '../../util/clock.ts';
import type { Address } from '../address.ts';
import { bindingRequest, STUN_TYPE, type StunMessage, verifyIntegrity } from './stun.ts';

/** How long an address that has answered is taken to be the peer's (RFC 7675 §5.1: 30 s). */
const PROOF_LIFETIME: Millis = 30_000;
/** A proof that is older is renewed with the next check (RFC 7675 §5.1: every 5 s). */
const PROOF_RENEWAL: Millis = 5_000;

/** Of one side, for the checks that it receives. */
export interface IceCredentials {
  readonly ufrag: string;
  /** At least 128 random bits. */
  readonly pwd: string;
}

/** A request of ours that waits for its response. */
interface Probe {
  readonly remote: IceCredentials;
  readonly transactionId: Uint8Array;
  /** The same each time it is sent (RFC 8489 §6.2.1). */
  readonly request: Uint8Array;
}

/**
 * An address that authentic checks have come from. Who writes it into a datagram need not be who is there: it is *proven* once it has answered a
 * request that was sent to it and nowhere else, and before that it is sent no more bytes than have come from it.
 */
export class Path {
  readonly address: Address;
  #provenAt: Millis | undefined;
  #probe: Probe | undefined;
  /** The newest check that has not been answered. */
  #check: StunMessage | undefined;
  /** Bytes that have come since the last proof, less those sent. */
  #creditBytes = 0;

  /** @param provenAt as {@link Path.provenAt}; absent for an address that has shown nothing. */
  constructor(address: Address, provenAt?: Millis) {
    this.address = address;
    this.#provenAt = provenAt;
  }

  /** When it has last shown that the peer is there; `-Infinity` where an earlier process knows. */
  get provenAt(): Millis | undefined {
    return this.#provenAt;
  }

  get proven(): boolean {
    return this.#provenAt !== undefined;
  }

  /** The check that waits to be answered. */
  get held(): StunMessage | undefined {
    return this.#check;
  }

  isFresh(now: Millis): boolean {
    return this.#provenAt !== undefined && now - this.#provenAt < PROOF_LIFETIME;
  }

  needsRenewal(now: Millis): boolean {
    return this.#provenAt === undefined || now - this.#provenAt >= PROOF_RENEWAL;
  }

  hear(check: StunMessage): void {
    this.#creditBytes += check.bytes.length;
    // Its bytes are the socket's, which may use them for something else before the answer leaves.
    this.#check = { ...check, transactionId: check.transactionId.slice(), bytes: check.bytes.slice() };
  }

  told(bytes: number): void {
    this.#creditBytes -= bytes;
  }

  takeCheck(): StunMessage | undefined {
    const check = this.#check;
    this.#check = undefined;
    return check;
  }

  expects(transactionId: Uint8Array): boolean {
    return this.#probe !== undefined && equalConstantTime(this.#probe.transactionId, transactionId);
  }

  /** Whether a probe that these credentials answer is under way. */
  expectsFrom(remote: IceCredentials): boolean {
    return this.#probe?.remote === remote;
  }

  /** Makes a probe; one that was under way is no good any more. */
  ask(remote: IceCredentials, ufrag: string, tieBreaker: Uint8Array, transactionId: Uint8Array): void {
    const username = `${remote.ufrag}:${ufrag}`;
    const request = bindingRequest({ transactionId, username, password: remote.pwd, tieBreaker });
    this.#probe = { remote, transactionId, request };
  }

  /** The probe, to be sent now; `undefined` where that would be more than has come. */
  takeProbe(now: Millis): Uint8Array | undefined {
    const request = this.#probe?.request;
    if (request === undefined || (!this.isFresh(now) && this.#creditBytes < request.length)) return undefined;
    this.told(request.length);
    return request;
  }

  /** What the address says has to do: there is nothing to ask it with. */
  trust(now: Millis): void {
    this.#provenAt = now;
  }

  /** Takes a response that came from this address, or tells why not. It counts once. */
  prove(response: StunMessage, now: Millis): 'unexpected response' | 'bad integrity' | undefined {
    const probe = this.#probe;
    const { type, transactionId } = response;
    if (type !== STUN_TYPE.bindingSuccess || probe === undefined || !this.expects(transactionId))
      return 'unexpected response';
    if (!verifyIntegrity(response, probe.remote.pwd)) return 'bad integrity';
    this.#probe = undefined;
    this.#provenAt = now;
    this.#creditBytes = 0;
    return undefined;
  }
}
