import { DtlsClient, type DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { fingerprintOf } from '../../src/transport/dtls/fingerprint.ts';
import type { DtlsSrtpKeys } from '../../src/transport/srtp/profile.ts';
import { SrtpSendContext } from '../../src/transport/srtp/send-context.ts';
import { datagramKind } from './capture.ts';
import type { OpenPage } from './open-page.ts';
import type { Datagram, UdpRelay } from './relay.ts';
import { seededRandom } from './seeded-rng.ts';
import { rtpPacket, TEST_SSRC } from './srtp.ts';
import { ATTACKED_PROFILE } from './thief.ts';
import { until } from './wait.ts';

const FORGED = Uint8Array.of(0x10, 0x00, 0xba, 0xad);

/** Somebody on path who keeps the server's handshake with a new page to himself and makes his own with it. */
export class Impostor {
  readonly #relay: UdpRelay;
  readonly #identity: DtlsIdentity;
  readonly #known: ReadonlySet<string>;
  #victim: string | undefined;
  #page: OpenPage | undefined;
  #dtls: DtlsClient | undefined;
  #keys: DtlsSrtpKeys | undefined;

  constructor(relay: UdpRelay, identity: DtlsIdentity) {
    this.#relay = relay;
    this.#identity = identity;
    this.#known = new Set(relay.peers);
  }

  /** Waits for the page that `open` opens and gives whether it took us, and a picture of ours, for the server. */
  async pose(open: () => Promise<OpenPage>): Promise<boolean> {
    this.#relay.onDatagram = (datagram) => (this.#intercept(datagram) ? false : undefined);
    try {
      const page = await open();
      this.#page = page;
      await until(
        'the page has judged us',
        () => page.browser.current?.connected || page.refusals.length > 0,
      );
      return page.browser.current?.connected === true && (await this.#showsOurPicture(page));
    } finally {
      this.#relay.onDatagram = undefined;
      this.#page?.close();
    }
  }

  #intercept({ direction, peer, bytes }: Datagram): boolean {
    if (this.#known.has(peer) || this.#page === undefined) return false;
    const kind = datagramKind(bytes);
    if (kind === 'stun') return false;
    if (kind !== 'dtls') return true;
    this.#victim = peer;
    const now = performance.now();
    if (direction === 'up') this.#dtls?.handleDatagram(bytes, now);
    else this.#dtls ??= this.#hello(this.#page, now);
    this.#drain(peer);
    return true;
  }

  #hello(page: OpenPage, now: number): DtlsClient {
    return new DtlsClient(
      {
        identity: this.#identity,
        rng: seededRandom(7),
        remoteFingerprints: [fingerprintOf(page.certificate, 'sha-256')],
        srtpProfiles: [ATTACKED_PROFILE],
      },
      now,
    );
  }

  #drain(peer: string): void {
    for (let output = this.#dtls?.pollOutput(); output !== undefined; output = this.#dtls?.pollOutput()) {
      if (output.kind === 'transmit') this.#relay.sendTo(peer, output.datagram);
      else if (output.kind === 'keys') this.#keys = output.keys;
    }
  }

  async #showsOurPicture(page: OpenPage): Promise<boolean> {
    const { profile, local } = this.#keys!;
    const context = SrtpSendContext.create(profile, local);
    this.#relay.sendTo(this.#victim!, context.protectRtp(rtpPacket(1, TEST_SSRC, FORGED), 1)!);
    await until('the page has a picture', () => (page.browser.current?.received.size ?? 0) > 0);
    const [shown] = page.browser.current!.received.values();
    return Buffer.compare(shown!.subarray(-FORGED.length), FORGED) === 0;
  }
}
