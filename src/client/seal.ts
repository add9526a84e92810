import type { Millis } from '../util/clock.ts';
import { type CertificateDigest, type CertificateVerdict, CertificateWatch } from './certificate.ts';

/**
 * What this browser has seen itself of the keys in use:
 *
 * - `not-yet`: nothing to compare: the first keys, or the server is away
 * - `keys-pending`: the server is back, and no new handshake has taken place
 * - `sealed`: same server, new keys: a handshake since, and in it the certificate of the first one
 * - `unknown`: new keys, and a certificate that this browser does not let the page compare
 * - `changed`: another certificate than at first
 */
export type SealState = 'not-yet' | 'keys-pending' | 'sealed' | 'unknown' | 'changed';

/** What a handshake of the connection in use has shown. */
export interface Handshake {
  /** Epoch of the offer that it belongs to. */
  readonly epoch: number;
  readonly offeredAt: Millis;
  /** Counts those of this page. */
  readonly ordinal: number;
}

/** What is known of the server's identity and of the keys in use. */
export interface SealReading {
  readonly state: SealState;
  /** The handshake behind the keys in use, or `undefined` before the first one. */
  readonly handshake: Handshake | undefined;
  readonly certificates: {
    readonly verdict: CertificateVerdict;
    readonly source: CertificateDigest['source'] | undefined;
    /** In hex, or empty. */
    readonly sha256: string;
  };
}

interface Transport {
  offeredAt: Millis;
  epoch: number;
  /** The association of the newest offer is under way: seen by the transport's own state. */
  fresh: boolean;
  /** It is complete. */
  settled: boolean;
  /** How often this transport has become connected. */
  associations: number;
  /** Of the newest offer. */
  handshake: Handshake | undefined;
  /** The certificate that was shown in it. */
  verdict: CertificateVerdict | undefined;
}

/**
 * "Same server, new keys", found out and not told: no word of the server's moves it. A transport that leaves `connected` behind an offer and comes back
 * to it has done a handshake; a browser's RTCDtlsTransport has no other way there.
 */
export class Seal implements SealReading {
  readonly #certificates = new CertificateWatch();
  readonly #transports = new Map<number, Transport>();
  #inUse: Transport | undefined;
  #handshakes = 0;
  #lostAt: Millis | undefined;
  #away = false;

  get certificates(): SealReading['certificates'] {
    return this.#certificates;
  }

  get handshake(): Handshake | undefined {
    return this.#inUse?.handshake;
  }

  get state(): SealState {
    const { handshake, verdict } = this.#inUse ?? {};
    if (verdict === 'changed') return 'changed';
    if (this.#away) return 'not-yet';
    const isOld =
      this.#lostAt !== undefined && (handshake === undefined || handshake.offeredAt < this.#lostAt);
    if (isOld) return 'keys-pending';
    if (handshake === undefined || verdict === undefined || handshake.ordinal === 1) return 'not-yet';
    return verdict === 'same' ? 'sealed' : 'unknown';
  }

  /** An offer is being applied, on a new connection where `create` is set. */
  handleOffer(peer: number, create: boolean, epoch: number, now: Millis): void {
    const before = create ? undefined : this.#transports.get(peer);
    const transport = before ?? newTransport(now, epoch);
    transport.offeredAt = now;
    transport.epoch = epoch;
    // A handshake that was under way is of the offer before.
    transport.fresh = create;
    transport.settled = false;
    this.#transports.set(peer, transport);
  }

  /** Returns the handshake where one is complete with this. */
  handleTransport(peer: number, connected: boolean): Handshake | undefined {
    const transport = this.#transports.get(peer);
    if (transport === undefined) return undefined;
    if (!connected) {
      transport.fresh = true;
      return undefined;
    }
    transport.associations++;
    return transport.fresh ? this.#complete(transport) : undefined;
  }

  /** A connection is connected when its transport is: for browsers whose transports say nothing, on the first handshake of a new one. */
  handleConnected(peer: number): Handshake | undefined {
    const transport = this.#transports.get(peer);
    if (transport === undefined || transport.handshake !== undefined || !transport.fresh) return undefined;
    return this.#complete(transport);
  }

  /** `associations`: how often the transport had become connected when its certificate was read. */
  handleCertificate(peer: number, associations: number, digest: CertificateDigest): void {
    const transport = this.#transports.get(peer);
    // Read before the handshake, digested after it.
    if (transport === undefined || associations < transport.associations) return;
    this.#certificates.observe(digest);
    if (transport.settled) transport.verdict = this.#certificates.verdict;
  }

  /** This connection is in use now. */
  handleShown(peer: number | undefined): void {
    this.#inUse = peer === undefined ? undefined : this.#transports.get(peer);
  }

  handleClosed(peer: number): void {
    this.#transports.delete(peer);
  }

  handleLost(now: Millis): void {
    this.#lostAt = now;
    this.#away = true;
  }

  handleReturned(): void {
    this.#away = false;
  }

  #complete(transport: Transport): Handshake {
    const { epoch, offeredAt } = transport;
    transport.fresh = false;
    transport.settled = true;
    transport.handshake = { epoch, offeredAt, ordinal: ++this.#handshakes };
    // Of the certificate before: this one has not been read yet.
    transport.verdict = undefined;
    return transport.handshake;
  }
}

function newTransport(offeredAt: Millis, epoch: number): Transport {
  return {
    offeredAt,
    epoch,
    fresh: true,
    settled: false,
    associations: 0,
    handshake: undefined,
    verdict: undefined,
  };
}
