import { rtpHeaderLength } from '../../src/rtp/packet.ts';
import { Broadcast } from '../../src/server/broadcast.ts';
import type { BroadcastEvent, BroadcastOptions } from '../../src/server/broadcast-io.ts';
import { createCertificate, signingKey } from '../../src/server/certificate.ts';
import type { ClientMessage } from '../../src/signaling/protocol.ts';
import { encodeIdentity } from '../../src/snapshot/codec/identity.ts';
import type { MediaSnapshot } from '../../src/snapshot/schema.ts';
import type { SnapshotStore } from '../../src/snapshot/store.ts';
import type { Address } from '../../src/transport/address.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { createTransform } from '../../src/transport/srtp/create-transform.ts';
import type { SrtpMasterKey, SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { deriveSessionKeys } from '../../src/transport/srtp/session-keys.ts';
import { readUint16, toHex } from '../../src/util/bytes.ts';
import type { Millis } from '../../src/util/clock.ts';
import { Secret } from '../../src/util/secret.ts';
import { testIdentity } from './dtls-identity.ts';
import { seededNumbers, seededRandom } from './seeded-rng.ts';
import { type StoreBench, storeBench } from './stores.ts';
import { VirtualBrowser } from './virtual-browser.ts';

const SERVER: Address = { ip: '10.0.0.1', port: 8080 };
const STEP: Millis = 5;

export interface WorldOptions {
  readonly seed: number;
  /** Share of datagrams that get lost, of those that come twice. */
  readonly loss?: number;
  readonly duplication?: number;
  readonly oneWay?: Millis;
  /** As `oneWay`, of signaling; the same where it is absent. */
  readonly signalingOneWay?: Millis;
  readonly jitter?: Millis;
  readonly broadcast?: Partial<BroadcastOptions>;
  readonly strict?: boolean;
}

interface Sent {
  readonly to: Address;
  readonly datagram: Uint8Array;
}

/**
 * A server with real sealed files, browsers and a network, all on virtual time from one seed. The server can be killed between any two
 * events and started again from what is on file.
 */
export class VirtualWorld {
  readonly browsers: VirtualBrowser[] = [];
  readonly events: BroadcastEvent[] = [];
  /** Everything the server ever sent. */
  readonly sent: Sent[] = [];
  now: Millis = 1_000;
  /** Count of media snapshots written. */
  mediaWrites = 0;
  /** Called before each write of the media snapshot; may kill by throwing. */
  beforeMediaWrite: (() => void) | undefined;
  broadcast: Broadcast | undefined;
  readonly #options: WorldOptions;
  readonly #bench: StoreBench;
  readonly #identities: DtlsIdentity[];
  readonly #next: () => number;
  #queue: { at: Millis; order: number; run: () => void }[] = [];
  #order = 0;
  #store: SnapshotStore | undefined;
  #instance = 0;
  readonly #pages = new Map<number, VirtualBrowser>();
  readonly #pageOf = new Map<VirtualBrowser, number>();
  readonly #isolated = new Set<VirtualBrowser>();
  #pageCount = 0;
  #writes: Promise<void> = Promise.resolve();

  private constructor(options: WorldOptions, bench: StoreBench, identities: DtlsIdentity[]) {
    this.#options = options;
    this.#bench = bench;
    this.#identities = identities;
    this.#next = seededNumbers(options.seed);
  }

  static async create(options: WorldOptions): Promise<VirtualWorld> {
    const identities = [
      await testIdentity(),
      await testIdentity(),
      await testIdentity(),
      await testIdentity(),
    ];
    return new VirtualWorld(options, await storeBench(), identities);
  }

  async dispose(): Promise<void> {
    this.broadcast?.close();
    await this.#writes;
    this.#bench.dispose();
  }

  get stateDir(): string {
    return this.#bench.stateDir;
  }

  get keysDir(): string {
    return this.#bench.keysDir;
  }

  get runtimeDir(): string {
    return this.#bench.runtimeDir;
  }

  /** Starts a server from what is on file. */
  async start(): Promise<Broadcast> {
    this.#bench.now = this.#wall();
    const store = await this.#bench.start();
    const identity = await store.readIdentity();
    const media = identity === undefined ? undefined : await store.takeMedia();
    const rng = seededRandom(this.#options.seed * 1_000 + ++this.#instance);
    const certificate = identity?.certificate ?? (await createCertificate(rng, this.#wall()));
    this.#store = store;
    this.broadcast = new Broadcast(
      {
        certificate,
        identity: { certificate: certificate.certificate, privateKey: signingKey(certificate) },
        tokenKey: identity?.tokenKey ?? Secret.random(32, rng),
        instance: String(this.#instance),
        rng,
        candidates: [SERVER],
        videoCodecs: ['VP8'],
        srtpProfiles: ['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM'],
        staleKeyTtl: 5_000,
        sessionTtl: 600_000,
        rekeyInterval: undefined,
        wallOffset: this.#wall() - this.now,
        mediaTtl: 30_000,
        ...(this.#options.strict
          ? {}
          : { persistMedia: (snapshot: MediaSnapshot) => this.#writeMedia(snapshot) }),
        ...this.#options.broadcast,
      },
      this.now,
      identity === undefined ? undefined : { identity, media },
    );
    this.#drain();
    return this.broadcast;
  }

  /** `kill -9`: nothing more is written; what is on the way to the server is lost, what it has sent still arrives. */
  kill(): void {
    this.broadcast = undefined;
    this.#store = undefined;
    this.#pages.clear();
    this.#pageOf.clear();
  }

  addBrowser(options: { firstSequence?: number } = {}): VirtualBrowser {
    const number = this.browsers.length;
    const browser: VirtualBrowser = new VirtualBrowser({
      name: `browser ${number}`,
      ip: `10.0.1.${number + 1}`,
      identity: this.#identities[number % this.#identities.length]!,
      rng: seededRandom(this.#options.seed * 77 + number),
      server: SERVER,
      ports: {
        transmit: (from, datagram) => {
          if (this.#isolated.has(browser)) return;
          this.#deliver(() => this.broadcast?.handleDatagram(datagram, from, this.now), true);
        },
        say: (message) => this.#say(browser, message),
      },
      ...options,
    });
    this.browsers.push(browser);
    return browser;
  }

  /** Opens the page's WebSocket, with its token if it has one. */
  open(browser: VirtualBrowser): void {
    const page = ++this.#pageCount;
    this.#deliver(() => {
      if (this.broadcast === undefined) return;
      this.#pages.set(page, browser);
      this.#pageOf.set(browser, page);
      this.broadcast.openPage(
        page,
        browser.token,
        browser.token === undefined ? undefined : browser.position,
        this.now,
      );
      if (browser.token === undefined)
        this.#say(browser, { type: 'join', capabilities: { rekeyInPlace: true } });
    }, false);
  }

  /** Closes the page's WebSocket without a word. */
  drop(browser: VirtualBrowser): void {
    const page = this.#pageOf.get(browser);
    if (page === undefined) return;
    this.#pageOf.delete(browser);
    this.#pages.delete(page);
    this.broadcast?.closePage(page, this.now);
    this.#drain();
  }

  /** Takes a browser's UDP away, or gives it back. Its signaling goes on. */
  isolate(browser: VirtualBrowser, isolated: boolean): void {
    if (isolated) this.#isolated.add(browser);
    else this.#isolated.delete(browser);
  }

  say(browser: VirtualBrowser, message: ClientMessage): void {
    this.#say(browser, message);
  }

  /** Lets time pass, up to `duration` or until `done`. Writes of the identity happen between steps. */
  async run(duration: Millis, done: () => boolean = () => false): Promise<boolean> {
    const end = this.now + duration;
    let refresh = this.now;
    while (this.now < end) {
      if (done()) return true;
      this.now += STEP;
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      while (this.#queue.length > 0 && this.#queue[0]!.at <= this.now) {
        this.#queue.shift()!.run();
        this.#drain();
      }
      for (const browser of this.browsers) browser.tick(this.now);
      const due = this.broadcast?.nextTimeout();
      if (due !== undefined && due <= this.now) this.broadcast?.handleTimeout(this.now);
      if (this.now - refresh >= 200) {
        refresh = this.now;
        this.broadcast?.refreshMedia(this.now);
      }
      this.#drain();
      await this.#writes;
    }
    return done();
  }

  /**
   * What an observer with every key finds: how many packets decrypt, and every (association, SSRC, index) or SRTCP index that protected two
   * different payloads. Looks at all that was sent, also at what got lost.
   */
  audit(): { readonly decrypted: number; readonly reused: readonly string[] } {
    const seen = new Map<string, string>();
    const reused: string[] = [];
    let decrypted = 0;
    for (const browser of this.browsers) {
      const ip = `10.0.1.${this.browsers.indexOf(browser) + 1}`;
      const datagrams = this.sent.filter(({ to }) => to.ip === ip).map(({ datagram }) => datagram);
      for (const [number, association] of browser.associations.entries()) {
        const open = opener(association.keys.profile, association.keys.remote);
        for (const datagram of datagrams) {
          const index = open(datagram);
          if (index === undefined) continue;
          decrypted++;
          const key = `${browser.name} association ${number} ${index}`;
          const text = toHex(datagram);
          if ((seen.get(key) ?? text) !== text) reused.push(key);
          seen.set(key, text);
        }
      }
    }
    return { decrypted, reused };
  }

  #writeMedia(snapshot: MediaSnapshot): boolean {
    this.beforeMediaWrite?.();
    this.mediaWrites++;
    this.#store?.writeMedia(snapshot);
    return true;
  }

  #wall(): number {
    return 1_800_000_000_000 + this.now;
  }

  #say(browser: VirtualBrowser, message: ClientMessage): void {
    const page = this.#pageOf.get(browser);
    if (page === undefined) return;
    this.#deliver(() => {
      if (this.#pages.get(page) === browser) this.broadcast?.handleMessage(page, message, this.now);
    }, false);
  }

  #drain(): void {
    const { broadcast } = this;
    if (broadcast === undefined) return;
    for (let output = broadcast.pollOutput(); output !== undefined; output = broadcast.pollOutput()) {
      if (output.kind === 'transmit') {
        const { to, datagram } = output;
        this.sent.push({ to, datagram });
        const browser = this.browsers.find((_, i) => to.ip === `10.0.1.${i + 1}`);
        if (browser !== undefined && !this.#isolated.has(browser))
          this.#deliver(() => browser.handleDatagram(to, datagram, this.now), true);
      } else if (output.kind === 'message') {
        const { page, message, afterWrite } = output;
        const browser = this.#pages.get(page);
        const arrive = () => this.#deliver(() => browser?.handleMessage(message, this.now), false);
        if (afterWrite) this.#writes = this.#writes.then(arrive);
        else arrive();
      } else if (output.kind === 'identity-changed') {
        const store = this.#store;
        const snapshot = broadcast.captureIdentity();
        // Fails here, and not in a promise, where the snapshot cannot be encoded.
        for (const _record of encodeIdentity(snapshot));
        this.#bench.now = this.#wall();
        const written = store?.writeIdentity(snapshot) ?? Promise.resolve();
        this.#writes = this.#writes.then(() => written);
      } else if (output.kind === 'event') this.events.push(output.event);
    }
  }

  /** Media is lost, doubled and reordered; signaling is a stream. */
  #deliver(run: () => void, lossy: boolean): void {
    const { loss = 0, duplication = 0, oneWay = 10, jitter = 0 } = this.#options;
    const { signalingOneWay = oneWay } = this.#options;
    if (lossy && this.#next() < loss) return;
    const copies = lossy && this.#next() < duplication ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const at = this.now + (lossy ? oneWay + this.#next() * jitter : signalingOneWay);
      this.#queue.push({ at, order: this.#order++, run });
    }
  }
}

/** Tells under which index of these keys a datagram is authentic. */
export function opener(
  profile: SrtpProfile,
  master: SrtpMasterKey,
): (datagram: Uint8Array) => string | undefined {
  const transform = createTransform(profile, deriveSessionKeys(profile, master));
  return (datagram) => {
    const kind = classifyDatagram(datagram);
    if (kind === 'srtcp') {
      if (transform.openRtcp(datagram) === undefined) return undefined;
      return `srtcp ${transform.readRtcpTrailer(datagram)?.index}`;
    }
    if (kind !== 'srtp') return undefined;
    const headerLength = rtpHeaderLength(datagram) ?? 12;
    const sequence = readUint16(datagram, 2);
    for (const rollover of [0, 1, 2]) {
      const index = rollover * 65_536 + sequence;
      if (transform.openRtp(datagram, headerLength, index) !== undefined)
        return `${toHex(datagram.subarray(8, 12))}/${index}`;
    }
    return undefined;
  };
}
