/**
 * ICE-lite (RFC 8445 §2.5): it forms no pairs and nominates nothing. It answers checks, and asks back: whoever may send checks could write any
 * source address into them, and have the media sent there.
 *
 *   browser (full, controlling)                       rekeycast (lite, controlled)
 *   1. Binding request, USERNAME local:remote ──────▶  USERNAME, then MESSAGE-INTEGRITY are checked
 *   2.                                        ◀──────  Binding request, the *probe*: no larger than what came
 *   3. Binding success ─────────────────────────────▶  of this transaction and from there: the address is *validated*
 *   4.                                        ◀──────  Binding success, for 1
 *   5. Binding request + USE-CANDIDATE ─────────────▶  the address is *selected*: DTLS and media go there
 *
 * Where 1 has the USE-CANDIDATE, the address is selected at 3. Until then, whatever goes on goes on to the one before. The proof is renewed with
 * the checks that keep the path alive: it is the peer's consent (RFC 7675).
 */
import { fromHex, toBase64Url, toHex } from '../../util/bytes.ts';
import type { Millis } from '../../util/clock.ts';
import { Counters } from '../../util/counters.ts';
import { type RandomSource, randomBytes } from '../../util/rng.ts';
import { type Address, addressKey } from '../address.ts';
import { type IceCredentials, Path } from './path.ts';
import {
  bindingError,
  bindingSuccess,
  parseStun,
  STUN_TYPE,
  type StunMessage,
  verifyIntegrity,
} from './stun.ts';
import { Transactions } from './transactions.ts';

export type { IceCredentials } from './path.ts';

/** Addresses a peer may be heard from at a time: several interfaces, before and after an ICE restart. */
const MAX_PATHS = 8;
/** RFC 8489 §5. */
const TRANSACTION_ID_BYTES = 12;
/** RFC 8445 §7.1.3. */
const TIE_BREAKER_BYTES = 8;

/** RFC 8839 §5.4: ice-ufrag is 4*256 ice-char, ice-pwd is 22*256 ice-char. */
export const ICE_UFRAG = /^[A-Za-z0-9+/]{4,256}$/;
export const ICE_PWD = /^[A-Za-z0-9+/]{22,256}$/;

export type IceDropReason =
  | 'malformed'
  | 'unknown username'
  | 'bad integrity'
  | 'replayed'
  /** The error response would be larger than the request. */
  | 'unanswerable'
  /** To nothing that was asked, or not from where it was asked. */
  | 'unexpected response';

export type IceOutput =
  | { readonly kind: 'transmit'; readonly to: Address; readonly datagram: Uint8Array }
  /** A response with this transaction id, as hex, is for this peer: there is no USERNAME in it to go by. */
  | { readonly kind: 'probing'; readonly transaction: string }
  /** The peer is there: DTLS and SRTP from this address may be its. Said of each proof, since another peer may have been there. */
  | { readonly kind: 'validated'; readonly address: Address }
  /** Media goes to this address from now on. */
  | { readonly kind: 'selected'; readonly address: Address };

/** Fresh credentials from 48 and 144 random bits (RFC 8445 §5.3 asks for at least 24 and 128). */
export function createIceCredentials(rng: RandomSource): IceCredentials {
  return { ufrag: iceChars(randomBytes(rng, 6)), pwd: iceChars(randomBytes(rng, 18)) };
}

/**
 * One side of one connection. Holds earlier generations of credentials while an ICE restart is under way. After each call that takes `now`,
 * drain `pollOutput()`.
 */
export class IceLite {
  readonly drops = new Counters<IceDropReason>();
  readonly #rng: RandomSource;
  readonly #tieBreaker: Uint8Array;
  #current: Generation;
  #previous: readonly Generation[] = [];
  readonly #paths = new Map<string, Path>();
  readonly #transactions = new Transactions();
  #selected: Path | undefined;
  /**
   * What was nominated since the address that is selected, the newest last, while its path is not proven. A browser may nominate every address that
   * it checks, and one of them may be a dead end: each is followed when it answers.
   */
  #nominations: readonly Nomination[] = [];
  readonly #outputs: IceOutput[] = [];

  /** @param selected where an earlier process sent media: it has proven itself to that one. */
  constructor(credentials: IceCredentials, rng: RandomSource, remoteUfrag?: string, selected?: Address) {
    this.#rng = rng;
    this.#tieBreaker = randomBytes(rng, TIE_BREAKER_BYTES);
    this.#current = { credentials, remoteUfrag, remote: undefined };
    if (selected !== undefined) {
      this.#selected = new Path(selected, Number.NEGATIVE_INFINITY);
      this.#paths.set(addressKey(selected), this.#selected);
    }
  }

  get credentials(): IceCredentials {
    return this.#current.credentials;
  }

  get remoteUfrag(): string | undefined {
    return this.#current.remoteUfrag;
  }

  /** Where media goes: of the addresses that have proven themselves, the one nominated last. */
  get selected(): Address | undefined {
    return this.#selected?.address;
  }

  /** When the address that media goes to has last shown that the peer is there: consent is an address's own (RFC 7675 §5.1). */
  get heardAt(): Millis | undefined {
    const at = this.#selected?.provenAt;
    return at === Number.NEGATIVE_INFINITY ? undefined : at;
  }

  get ufrags(): readonly string[] {
    return [this.#current, ...this.#previous].map(({ credentials }) => credentials.ufrag);
  }

  /** Whether DTLS and SRTP from this address may be this peer's. */
  isValidated(address: Address): boolean {
    return this.#paths.get(addressKey(address))?.proven === true;
  }

  /** Whether a response with this transaction id, as hex, is awaited. */
  isProbing(transaction: string): boolean {
    const id = fromHex(transaction);
    return [...this.#paths.values()].some((path) => path.expects(id));
  }

  /** Starts an ICE restart (RFC 8445 §9): the credentials in use stay valid until an address is nominated under the new ones. */
  restart(credentials: IceCredentials): void {
    // The last is in use. Of restarts that others have overtaken, the browser may have applied the newest.
    this.#previous = [this.#current, ...this.#previous.slice(-1)];
    this.#current = { credentials, remoteUfrag: undefined, remote: undefined };
  }

  /** The answer has told the other side's credentials: addresses that have waited for it can be asked. */
  setRemote(remote: IceCredentials, now: Millis): void {
    const generation = this.#current;
    if (generation.remote?.ufrag === remote.ufrag && generation.remote.pwd === remote.pwd) return;
    generation.remoteUfrag = remote.ufrag;
    generation.remote = remote;
    for (const path of this.#paths.values()) {
      if (matches(generation, path.held?.username)) this.#probe(path, generation, now);
    }
  }

  /** Takes a check or a response. Nothing changes before its MESSAGE-INTEGRITY has been verified (RFC 8445 §7.3). */
  handleDatagram(datagram: Uint8Array, from: Address, now: Millis): void {
    const dropped = this.#handleMessage(parseStun(datagram), from, now);
    if (dropped !== undefined) this.drops.add(dropped);
  }

  pollOutput(): IceOutput | undefined {
    return this.#outputs.shift();
  }

  #handleMessage(message: StunMessage | undefined, from: Address, now: Millis): IceDropReason | undefined {
    if (message === undefined) return 'malformed';
    return message.type === STUN_TYPE.bindingRequest
      ? this.#handleCheck(message, from, now)
      : this.#handleResponse(message, from, now);
  }

  /** Step 1, and 5. */
  #handleCheck(message: StunMessage, from: Address, now: Millis): IceDropReason | undefined {
    const generation = this.#generationOf(message);
    // An error response here would make the server a reflector for anybody; browsers do not need it.
    if (generation === undefined) return 'unknown username';
    const { pwd } = generation.credentials;
    if (!verifyIntegrity(message, pwd)) return 'bad integrity';
    if (message.unknown.length > 0) return this.#refuse(message, from, bindingError(message, 420, pwd));
    // A lite agent is always controlled (RFC 8445 §6.1.1): a peer that is too has to switch (§7.3.1.1).
    if (message.role === 'controlled') return this.#refuse(message, from, bindingError(message, 487, pwd));

    const known = this.#paths.get(addressKey(from));
    const isNew = this.#transactions.take(message.transactionId);
    // RFC 8489 §6.2.1: a retransmission is answered again. Recorded by somebody and sent from elsewhere it is not one.
    if (!isNew && known === undefined) return 'replayed';
    const path = known ?? this.#addPath(from);
    path.hear(message);
    if (isNew && message.useCandidate)
      this.#nominations = [...this.#nominationsBut(path), { path, generation }];

    // An earlier process's, until the answer brings the means to ask.
    if (path.proven && generation.remote === undefined) path.trust(now);
    if (path.isFresh(now)) {
      this.#answer(path);
      this.#followNomination(path);
      if (!path.needsRenewal(now)) return undefined;
    }
    this.#probe(path, generation, now);
    return undefined;
  }

  /** Step 3. */
  #handleResponse(message: StunMessage, from: Address, now: Millis): IceDropReason | undefined {
    const path = this.#paths.get(addressKey(from));
    if (path === undefined) return 'unexpected response';
    const refused = path.prove(message, now);
    if (refused !== undefined) return refused;
    this.#outputs.push({ kind: 'validated', address: path.address });
    this.#answer(path);
    this.#followNomination(path);
    return undefined;
  }

  /** Step 2, as far as there are credentials to ask with. */
  #probe(path: Path, { credentials, remote }: Generation, now: Millis): void {
    if (remote === undefined) return;
    if (!path.expectsFrom(remote)) {
      const transactionId = randomBytes(this.#rng, TRANSACTION_ID_BYTES);
      path.ask(remote, credentials.ufrag, this.#tieBreaker, transactionId);
      this.#outputs.push({ kind: 'probing', transaction: toHex(transactionId) });
    }
    const datagram = path.takeProbe(now);
    if (datagram !== undefined) this.#outputs.push({ kind: 'transmit', to: path.address, datagram });
  }

  /** Step 4. */
  #answer(path: Path): void {
    const check = path.takeCheck();
    const generation = check && this.#generationOf(check);
    if (check === undefined || generation === undefined) return;
    const datagram = bindingSuccess(check, path.address, generation.credentials.pwd);
    path.told(datagram.length);
    this.#outputs.push({ kind: 'transmit', to: path.address, datagram });
  }

  #refuse(message: StunMessage, to: Address, datagram: Uint8Array): IceDropReason | undefined {
    if (datagram.length > message.bytes.length) return 'unanswerable';
    this.#outputs.push({ kind: 'transmit', to, datagram });
    return undefined;
  }

  #generationOf(message: StunMessage): Generation | undefined {
    return [this.#current, ...this.#previous].find((generation) => matches(generation, message.username));
  }

  #addPath(address: Address): Path {
    if (this.#paths.size >= MAX_PATHS) {
      const others = [...this.#paths.values()].filter((path) => path !== this.#selected);
      // Who has proven nothing goes before who has.
      const oldest = others.find((path) => !path.proven) ?? others[0]!;
      this.#paths.delete(addressKey(oldest.address));
      this.#nominations = this.#nominationsBut(oldest);
    }
    const path = new Path(address);
    this.#paths.set(addressKey(address), path);
    return path;
  }

  /** Old credentials go when the peer has nominated an address under the new ones: until then the old path carries media. */
  #followNomination(path: Path): void {
    const at = this.#nominations.findIndex((nomination) => nomination.path === path);
    if (at < 0) return;
    if (this.#nominations[at]!.generation === this.#current) this.#previous = [];
    this.#nominations = this.#nominations.slice(at + 1);
    if (path === this.#selected) return;
    this.#selected = path;
    this.#outputs.push({ kind: 'selected', address: path.address });
  }

  #nominationsBut(path: Path): readonly Nomination[] {
    return this.#nominations.filter((nomination) => nomination.path !== path);
  }
}

/** Whom a message is for, before anything about it is verified: only good for finding the peer that verifies. */
export function addresseeOf(
  datagram: Uint8Array,
): { readonly ufrag: string } | { readonly transaction: string } | undefined {
  const message = parseStun(datagram);
  if (message === undefined) return undefined;
  if (message.type !== STUN_TYPE.bindingRequest) return { transaction: toHex(message.transactionId) };
  const ufrag = message.username?.split(':')[0];
  return ufrag === undefined ? undefined : { ufrag };
}

interface Nomination {
  readonly path: Path;
  readonly generation: Generation;
}

interface Generation {
  readonly credentials: IceCredentials;
  remoteUfrag: string | undefined;
  /** Once the answer is here; not known of an earlier process's connection. */
  remote: IceCredentials | undefined;
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

/** ice-char is ALPHA / DIGIT / "+" / "/" (RFC 8839 §5.4); base64url differs from it in two letters. */
const iceChars = (bytes: Uint8Array): string => toBase64Url(bytes).replaceAll('-', '+').replaceAll('_', '/');
