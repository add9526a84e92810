import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { DtlsClient } from '../../src/transport/dtls/client.ts';
import type { Fingerprint } from '../../src/transport/dtls/fingerprint.ts';
import { secureRandom } from '../../src/util/rng.ts';
import { datagramKind } from './capture.ts';
import { DtlsTestServer } from './dtls-server.ts';
import type { Datagram, UdpRelay } from './relay.ts';

const TICK_MS = 10;

/** One connection that the middle has taken apart. */
interface Halves {
  /** What the server takes for the browser. */
  readonly towardServer: DtlsTestServer;
  /** What the browser takes for the server. */
  readonly towardBrowser: DtlsClient;
}

/**
 * Somebody on the path who ends DTLS on both sides with a certificate of their own, so as to read and to change what goes through. Lets STUN pass,
 * so that both sides think that the path is free.
 */
export class LiveMiddle {
  /** What came of it. */
  readonly seen = {
    hellosOfServer: 0,
    flightsOfBrowser: 0,
    connectedToBrowser: 0,
    connectedToServer: 0,
    media: 0,
  };
  readonly #relay: UdpRelay;
  readonly #identity: DtlsIdentity;
  readonly #fingerprints: readonly Fingerprint[];
  readonly #halves = new Map<string, Halves>();
  readonly #spared: ReadonlySet<string>;
  #timer: NodeJS.Timeout | undefined;

  /** @param fingerprints of the browser's certificates, as the middle has read them in the signaling. */
  constructor(relay: UdpRelay, identity: DtlsIdentity, fingerprints: readonly Fingerprint[]) {
    this.#relay = relay;
    this.#identity = identity;
    this.#fingerprints = fingerprints;
    this.#spared = new Set(relay.peers);
  }

  /** Takes hold of every connection that begins from now on. */
  start(): void {
    this.#relay.onDatagram = (datagram) => this.#intercept(datagram);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#relay.onDatagram = undefined;
  }

  #intercept({ direction, peer, bytes }: Datagram): boolean {
    const kind = datagramKind(bytes);
    if (this.#spared.has(peer) || kind === 'stun') return true;
    const halves = this.#halvesOf(peer);
    if (kind !== 'dtls') this.seen.media++;
    else if (direction === 'down') {
      this.seen.hellosOfServer++;
      try {
        halves.towardServer.handleDatagram(bytes, performance.now());
      } catch {
        // A next handshake of the same connection: the server's new hello begins another.
        this.#halves.delete(peer);
      }
    } else {
      this.seen.flightsOfBrowser++;
      halves.towardBrowser.handleDatagram(bytes, performance.now());
    }
    this.#drain(peer);
    return false;
  }

  #halvesOf(peer: string): Halves {
    const known = this.#halves.get(peer);
    if (known !== undefined) return known;
    const halves: Halves = {
      towardServer: new DtlsTestServer({ identity: this.#identity, rng: secureRandom }),
      towardBrowser: new DtlsClient(
        {
          identity: this.#identity,
          rng: secureRandom,
          remoteFingerprints: this.#fingerprints,
          srtpProfiles: ['AES_CM_128_HMAC_SHA1_80'],
        },
        performance.now(),
      ),
    };
    this.#halves.set(peer, halves);
    return halves;
  }

  #drain(peer: string): void {
    const halves = this.#halves.get(peer);
    if (halves === undefined) return;
    const { towardServer, towardBrowser } = halves;
    for (let sent = towardServer.pollDatagram(); sent !== undefined; sent = towardServer.pollDatagram())
      this.#relay.sendAs(peer, sent);
    if (towardServer.connected) this.seen.connectedToServer++;
    for (let output = towardBrowser.pollOutput(); output !== undefined; output = towardBrowser.pollOutput()) {
      if (output.kind === 'transmit') this.#relay.sendTo(peer, output.datagram);
      if (output.kind === 'connected') this.seen.connectedToBrowser++;
    }
  }

  #tick(): void {
    for (const [peer, { towardServer, towardBrowser }] of this.#halves) {
      towardServer.handleTimeout(performance.now());
      towardBrowser.handleTimeout(performance.now());
      this.#drain(peer);
    }
  }
}
