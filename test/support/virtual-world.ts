import { rtpHeaderLength } from '../../src/rtp/packet.ts';
import { Broadcast } from '../../src/server/broadcast.ts';
import type {
  BroadcastEvent,
  BroadcastOptions,
  BroadcastOutput,
  CrewOutput,
} from '../../src/server/broadcast-io.ts';
import { createCertificate, signingKey } from '../../src/server/certificate.ts';
import { MediaWriter } from '../../src/server/media-writer.ts';
import { follow, pollFollower, reportOf } from '../../src/server/workers/follower.ts';
import { Switchboard } from '../../src/server/workers/switchboard.ts';
import type { ClientMessage, ServerMessage } from '../../src/signaling/protocol.ts';
import { encodeIdentity } from '../../src/snapshot/codec/identity.ts';
import type { CertificateRecord, MediaSnapshot } from '../../src/snapshot/schema.ts';
import type { SnapshotStore } from '../../src/snapshot/store.ts';
import type { Address } from '../../src/transport/address.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { createTransform } from '../../src/transport/srtp/create-transform.ts';
import { KernelProtector } from '../../src/transport/srtp/kernel-protector.ts';
import type { SrtpMasterKey, SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { deriveSessionKeys } from '../../src/transport/srtp/session-keys.ts';
import { readUint16, toHex } from '../../src/util/bytes.ts';
import type { Millis } from '../../src/util/clock.ts';
import { Secret } from '../../src/util/secret.ts';
import { testIdentity } from './dtls-identity.ts';
import type { ServerKnobs } from './dtls-server.ts';
import { Killed, ProcessFiles } from './faulty-file-system.ts';
import { loadKernel } from './kernel.ts';
import { seededNumbers, seededRandom } from './seeded-rng.ts';
import { type LoggedKey, SrtpLog } from './srtp-log.ts';
import { type StoreBench, storeBench } from './stores.ts';
import { type PortChange, VirtualBrowser } from './virtual-browser.ts';

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
  /** How often media snapshots are written that nothing asks for. */
  readonly refreshInterval?: Millis;
  /** So many engines have the viewers, each at a port of its own. */
  readonly followers?: number;
}

/** An engine that has viewers, with files of its own. */
interface Follower {
  readonly broadcast: Broadcast;
  readonly store: SnapshotStore;
  readonly address: Address;
}

/** The server looks after its limits this often, unless told otherwise. */
const REFRESH_INTERVAL: Millis = 200;

interface Sent {
  readonly to: Address;
  readonly datagram: Uint8Array;
  readonly at: Millis;
}

interface Received {
  readonly to: Address;
  readonly from: Address;
  readonly datagram: Uint8Array;
  readonly at: Millis;
}

/** What an observer with every key finds in a run. */
export interface Audit {
  /** Packets of the server that decrypt, and media packets of it that no key of the run opens. */
  readonly decrypted: number;
  readonly unexplained: number;
  /** Every (key, SSRC, index) or SRTCP index that protected two different payloads. */
  readonly reused: readonly string[];
  /** How many packets were accepted, and those that were accepted again. */
  readonly accepted: number;
  readonly acceptedAgain: number;
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
  /** Everything that was ever sent to the server, also what got lost. */
  readonly received: Received[] = [];
  now: Millis = 1_000;
  /** Count of media snapshots written. */
  mediaWrites = 0;
  /** What is written in place of a media snapshot: a server with a fault. */
  tamper: ((snapshot: MediaSnapshot) => MediaSnapshot) | undefined;
  broadcast: Broadcast | undefined;
  readonly followers = new Map<number, Follower>();
  /** Everything that one engine has said to another. */
  readonly posted: unknown[] = [];
  #followerCount: number;
  #switchboard: Switchboard | undefined;
  /** Who wants to broadcast, and says so again when it has joined anew. */
  readonly #publishers = new Set<VirtualBrowser>();
  /** The files as the process that runs now, or ran last, has them. */
  files = new ProcessFiles();
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
  readonly #browserAt = new Map<string, VirtualBrowser>();
  readonly #isolated = new Set<VirtualBrowser>();
  #pageCount = 0;
  #writes: Promise<void> = Promise.resolve();
  #refreshAt: Millis = 0;
  /** How far the wall clock was set. */
  #clock = 0;
  readonly #log = new SrtpLog();

  private constructor(options: WorldOptions, bench: StoreBench, identities: DtlsIdentity[]) {
    this.#options = options;
    this.#bench = bench;
    this.#identities = identities;
    this.#followerCount = options.followers ?? 0;
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
    this.#log.stop();
    this.broadcast?.close();
    for (const { broadcast } of this.followers.values()) broadcast.close();
    await this.#writes;
    this.#bench.dispose();
  }

  get #refreshInterval(): Millis {
    return this.#options.refreshInterval ?? REFRESH_INTERVAL;
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

  /** Starts a server from what is on file; `arm` may give its files faults. Throws `Killed` where that ends it before it runs. */
  async start(arm: (files: ProcessFiles) => void = () => undefined): Promise<Broadcast> {
    await this.#writes;
    this.files = new ProcessFiles();
    arm(this.files);
    try {
      return await this.#start(this.files);
    } catch (error) {
      if (!this.files.killed) throw error;
      this.kill();
      throw new Killed();
    }
  }

  async #start(files: ProcessFiles): Promise<Broadcast> {
    this.#bench.now = this.#wall();
    this.#refreshAt = this.now + this.#refreshInterval;
    const place = this.#followerCount === 0 ? {} : { place: 'leads' as const };
    const lead = await this.#startEngine(files, 0, place);
    const { certificate } = lead.broadcast;
    const followers = new Map<number, Follower>();
    for (let number = 1; number <= this.#followerCount; number++)
      followers.set(
        number,
        await this.#startEngine(files, number, { place: 'follows', relaysFor: undefined }, certificate),
      );
    this.broadcast = lead.broadcast;
    this.#store = lead.store;
    for (const [number, follower] of followers) this.followers.set(number, follower);
    const takesNew = (number: number): boolean => number <= (this.#options.followers ?? 0);
    this.#switchboard = new Switchboard(lead.broadcast, {
      followers: new Map([...followers.keys()].map((number) => [number, { takesNew: takesNew(number) }])),
      relaysFor: this.#options.broadcast?.relaysFor,
      wall: () => this.#wall(),
    });
    for (const [number, { broadcast }] of followers)
      this.#switchboard.hasFound(
        number,
        [...broadcast.sessions].map(({ id }) => id),
      );
    this.#drain();
    return this.broadcast;
  }

  /** The next processes have so many; those that have sessions still are started too. */
  setFollowers(count: number): void {
    this.#followerCount = Math.max(this.#followerCount, count);
    (this.#options as { followers?: number }).followers = count;
  }

  async #startEngine(
    files: ProcessFiles,
    number: number,
    options: Partial<BroadcastOptions>,
    shown?: CertificateRecord,
  ): Promise<Follower> {
    const store = await this.#bench.start(files.fs, number === 0 ? undefined : `worker-${number}`);
    const identity = await store.readIdentity();
    if (identity === undefined) store.dropMedia();
    const media = await store.takeMedia();
    if (files.killed) throw new Killed();
    const writer = new MediaWriter(store, () => undefined);
    const rng = seededRandom(this.#options.seed * 1_000 + ++this.#instance);
    const certificate = shown ?? identity?.certificate ?? (await createCertificate(rng, this.#wall()));
    const address = { ...SERVER, port: SERVER.port + number };
    const broadcast = new Broadcast(
      {
        certificate,
        identity: { certificate: certificate.certificate, privateKey: signingKey(certificate) },
        tokenKey: identity?.tokenKey ?? Secret.random(32, rng),
        instance: String(this.#instance),
        rng,
        candidates: [address],
        videoCodecs: ['VP8'],
        srtpProfiles: ['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM'],
        staleKeyTtl: 5_000,
        sessionTtl: 600_000,
        rekeyInterval: undefined,
        wallOffset: this.#wall() - this.now,
        mediaTtl: 30_000,
        // As the server has it, or as others may.
        holdMedia: this.#holdsMedia,
        ...(this.#options.strict
          ? {}
          : { persistMedia: (snapshot: MediaSnapshot) => this.#writeMedia(writer, snapshot) }),
        ...this.#options.broadcast,
        ...options,
      },
      this.now,
      identity === undefined ? undefined : { identity, media },
    );
    // What is fast comes a little later than what is needed; some worlds never get it.
    if (this.#holdsMedia) broadcast.useProtector(new KernelProtector(await loadKernel()));
    return { broadcast, store, address };
  }

  get #holdsMedia(): boolean {
    return this.#options.seed % 2 === 0;
  }

  /** `kill -9`: nothing more is written; what is on the way to the server is lost, what it has sent still arrives. */
  kill(): void {
    this.files.kill();
    this.broadcast = undefined;
    this.#switchboard = undefined;
    this.followers.clear();
    this.#store = undefined;
    this.#pages.clear();
    this.#pageOf.clear();
  }

  /** The server gets another certificate, as it does by age or by order; gives it. */
  async replaceCertificate(): Promise<Uint8Array> {
    const record = await createCertificate(
      seededRandom(this.#options.seed * 1_000 + 500 + ++this.#instance),
      this.#wall(),
    );
    this.broadcast?.replaceCertificate(
      record,
      { certificate: record.certificate, privateKey: signingKey(record) },
      this.now,
    );
    this.#drain();
    return record.certificate;
  }

  /** Every key that anything was sent under. */
  get keys(): readonly LoggedKey[] {
    return this.#log.keys;
  }

  /** What the clock on the wall says. */
  get wall(): number {
    return this.#wall();
  }

  /** The operator sets the wall clock, by so much. */
  setClock(by: number): void {
    this.#clock += by;
    for (const broadcast of this.#engines) broadcast.adjustWall(this.#wall() - this.now);
  }

  /** All that run. */
  get #engines(): readonly Broadcast[] {
    const followers = [...this.followers.values()].map(({ broadcast }) => broadcast);
    return this.broadcast === undefined ? followers : [this.broadcast, ...followers];
  }

  /** New keys for everybody. */
  rekeyAll(): void {
    this.#switchboard?.rekeyAll(this.now);
  }

  #engineAt({ port }: Address): Broadcast | undefined {
    return port === SERVER.port ? this.broadcast : this.followers.get(port - SERVER.port)?.broadcast;
  }

  /** Nothing can be written to RUNTIME_DIR any more, or again. */
  fillRuntimeDir(full: boolean): void {
    this.files.fill(full ? this.runtimeDir : undefined);
  }

  /** Somebody on the path sends the server a datagram, from any address. */
  inject(datagram: Uint8Array, from: Address, to = SERVER): void {
    this.#deliver(() => this.#engineAt(to)?.handleDatagram(datagram, from, this.now), false);
  }

  /** The same without the time on the way: it is there in this turn. */
  hear(datagram: Uint8Array, from: Address): void {
    this.#attempt(() => {
      this.broadcast?.handleDatagram(datagram, from, this.now);
      this.#drain();
    });
  }

  addBrowser(
    options: {
      firstSequence?: number;
      rekeyInPlace?: boolean;
      knobs?: ServerKnobs;
      changesPort?: PortChange;
    } = {},
  ): VirtualBrowser {
    const number = this.browsers.length;
    const browser: VirtualBrowser = new VirtualBrowser({
      name: `browser ${number}`,
      ip: `10.0.1.${number + 1}`,
      identity: this.#identities[number % this.#identities.length]!,
      rng: seededRandom(this.#options.seed * 77 + number),
      server: SERVER,
      ports: {
        transmit: (from, datagram, to) => {
          this.received.push({ from, to, datagram, at: this.now });
          if (this.#isolated.has(browser)) return;
          this.#deliver(() => this.#engineAt(to)?.handleDatagram(datagram, from, this.now), true);
        },
        say: (message) => this.#say(browser, message),
      },
      ...options,
    });
    this.browsers.push(browser);
    this.#browserAt.set(`10.0.1.${number + 1}`, browser);
    return browser;
  }

  /** Opens the page's WebSocket, with its token if it has one. */
  open(browser: VirtualBrowser): void {
    const page = ++this.#pageCount;
    this.#deliver(() => {
      if (this.#switchboard === undefined) return;
      this.#pages.set(page, browser);
      this.#pageOf.set(browser, page);
      this.#switchboard.openPage(
        {
          id: page,
          owner: browser.name,
          ...(browser.admission === undefined ? {} : { admission: browser.admission }),
        },
        browser.token,
        browser.token === undefined ? undefined : browser.position,
        this.now,
      );
      if (browser.token === undefined)
        this.#say(browser, { type: 'join', capabilities: { rekeyInPlace: browser.rekeyInPlace } });
    }, false);
  }

  /** Closes the page's WebSocket without a word. */
  drop(browser: VirtualBrowser): void {
    const page = this.#pageOf.get(browser);
    if (page === undefined) return;
    this.#pageOf.delete(browser);
    this.#pages.delete(page);
    this.#attempt(() => {
      this.#switchboard?.closePage(page, this.now);
      this.#drain();
    });
  }

  /** Takes a browser's UDP away, or gives it back. Its signaling goes on. */
  isolate(browser: VirtualBrowser, isolated: boolean): void {
    if (isolated) this.#isolated.add(browser);
    else this.#isolated.delete(browser);
  }

  say(browser: VirtualBrowser, message: ClientMessage): void {
    if (message.type === 'publish') this.#publishers.add(browser);
    this.#say(browser, message);
  }

  /** Lets time pass, up to `duration` or until `done`. Writes of the identity happen between steps. */
  async run(duration: Millis, done: () => boolean = () => false): Promise<boolean> {
    const end = this.now + duration;
    while (this.now < end) {
      if (done()) return true;
      this.now += STEP;
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      while (this.#queue.length > 0 && this.#queue[0]!.at <= this.now) {
        this.#attempt(() => {
          this.#queue.shift()!.run();
          this.#drain();
        });
      }
      for (const browser of this.browsers) browser.tick(this.now);
      this.#attempt(() => this.#work());
      this.#attempt(() => {
        if (this.#holdsMedia) this.#sendMedia();
        this.#drain();
      });
      await this.#writes;
      if (this.files.killed && this.broadcast !== undefined) this.kill();
    }
    return done();
  }

  /** What an observer with every key of the run finds in all that was sent, also in what got lost. */
  audit(): Audit {
    const ring = new KeyRing(this.#log.keys);
    const seen = new Map<string, string>();
    const reused: string[] = [];
    let decrypted = 0;
    let unexplained = 0;
    for (const { to, datagram } of this.sent) {
      if (!/^srtc?p$/.test(classifyDatagram(datagram) ?? '')) continue;
      const nonce = ring.open(to.ip, datagram);
      if (nonce === undefined) {
        unexplained++;
        continue;
      }
      decrypted++;
      const text = toHex(datagram);
      if ((seen.get(nonce) ?? text) !== text) reused.push(`${nonce}, sent to ${to.ip}`);
      seen.set(nonce, text);
    }
    const times = [...this.#log.accepted.values()];
    return {
      decrypted,
      unexplained,
      reused,
      accepted: times.length,
      acceptedAgain: times.filter((count) => count > 1).length,
    };
  }

  #work(): void {
    for (const broadcast of this.#engines) {
      const due = broadcast.nextTimeout();
      if (due !== undefined && due <= this.now) broadcast.handleTimeout(this.now);
    }
    if (this.now >= this.#refreshAt) {
      this.#refreshAt = this.now + this.#refreshInterval;
      for (const broadcast of this.#engines) broadcast.refreshMedia(this.now);
    }
    this.#switchboard?.relayMedia();
    this.#drain();
  }

  /** A process that is killed in the middle of this says nothing more. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!this.files.killed) throw error;
    }
    if (this.files.killed && this.broadcast !== undefined) this.kill();
  }

  #writeMedia(writer: MediaWriter, snapshot: MediaSnapshot): boolean {
    this.mediaWrites++;
    return writer.write(this.tamper?.(snapshot) ?? snapshot);
  }

  #wall(): number {
    return 1_800_000_000_000 + this.now + this.#clock;
  }

  #say(browser: VirtualBrowser, message: ClientMessage): void {
    const page = this.#pageOf.get(browser);
    if (page === undefined) return;
    this.#deliver(() => {
      if (this.#pages.get(page) === browser) this.#switchboard?.handleMessage(page, message, this.now);
    }, false);
  }

  /** What is on the way when the page opens its next WebSocket is lost with the one before. */
  #tell(browser: VirtualBrowser, page: number, message: ServerMessage): void {
    this.#deliver(() => {
      if ((this.#pageOf.get(browser) ?? page) !== page) return;
      browser.handleMessage(message, this.now);
      if (this.#followerCount > 0) this.#follow(browser, message);
    }, false);
  }

  /** As the page does: it joins anew when it is told to, and asks again for what it has asked for. */
  #follow(browser: VirtualBrowser, message: ServerMessage): void {
    if (message.type === 'error' && message.code === 'TOKEN_UNKNOWN') {
      browser.reload();
      this.#say(browser, { type: 'join', capabilities: { rekeyInPlace: browser.rekeyInPlace } });
    }
    if (message.type === 'error' && message.code === 'BROADCASTER_PRESENT') this.#publishers.delete(browser);
    if (message.type === 'role') this.#publishers.delete(browser);
    if (message.type === 'welcome' && this.#publishers.delete(browser) && message.role === 'viewer')
      this.say(browser, { type: 'publish' });
  }

  #drain(): void {
    const switchboard = this.#switchboard;
    if (switchboard === undefined || this.broadcast === undefined) return;
    const promised: (() => void)[] = [];
    for (let output = switchboard.pollOutput(); output !== undefined; output = switchboard.pollOutput()) {
      if (output.kind === 'post') {
        const { follower, message } = output;
        this.#post(message, (copy) => {
          const broadcast = this.followers.get(follower)?.broadcast;
          if (broadcast !== undefined) follow(broadcast, copy, this.now);
        });
      } else if (output.kind === 'message') {
        const { page, message, afterWrite } = output;
        const browser = this.#pages.get(page);
        const { files } = this;
        const arrive = () => {
          if (browser !== undefined && !files.killed) this.#tell(browser, page, message);
        };
        if (afterWrite) promised.push(arrive);
        else arrive();
      } else if (output.kind === 'event') this.events.push(output.event);
      else this.#do(this.broadcast, this.#store, output);
    }
    for (const [number, { broadcast, store }] of this.followers) {
      for (let output = pollFollower(broadcast); output !== undefined; output = pollFollower(broadcast)) {
        const report = reportOf(broadcast, output);
        const say = () => {
          if (report !== undefined)
            this.#post(report, (copy) => this.#switchboard?.handleFollower(number, copy, this.now));
        };
        if (output.kind === 'message' && output.afterWrite) promised.push(say);
        else if (report !== undefined) say();
        else this.#do(broadcast, store, output);
      }
    }
    // What holds it is among the writes by now.
    if (promised.length > 0)
      this.#writes = this.#writes.then(() => {
        for (const say of promised) say();
      });
  }

  /** From one thread to another: in order, and a moment later. What is under way ends with the process. */
  #post<Message>(message: Message, arrive: (copy: Message) => void): void {
    this.posted.push(message);
    const copy = structuredClone(message);
    const { files } = this;
    const run = () => {
      if (!files.killed) arrive(copy);
    };
    this.#queue.push({ at: this.now, order: this.#order++, run });
  }

  /** What every engine does by itself. */
  #do(broadcast: Broadcast, store: SnapshotStore | undefined, output: BroadcastOutput | CrewOutput): void {
    const { files } = this;
    if (output.kind === 'transmit') this.#transmit(output.datagram, output.to);
    if (output.kind !== 'identity-changed') return;
    const snapshot = broadcast.captureIdentity();
    // Fails here, and not in a promise, where the snapshot cannot be encoded.
    for (const _record of encodeIdentity(snapshot));
    this.#bench.now = this.#wall();
    const written = store?.writeIdentity(snapshot) ?? Promise.resolve();
    const failed = (error: unknown) => {
      if (!files.killed) throw error;
    };
    this.#writes = Promise.all([this.#writes, written.catch(failed)]).then(() => undefined);
  }

  /** A part of the media that waits, as a server sends it between what it receives. */
  #sendMedia(): void {
    for (const broadcast of this.#engines)
      broadcast.sendMedia((datagram, to) => this.#transmit(datagram.slice(), to));
  }

  #transmit(datagram: Uint8Array, to: Address): void {
    this.sent.push({ to, datagram, at: this.now });
    const browser = this.#browserAt.get(to.ip);
    if (browser !== undefined && !this.#isolated.has(browser))
      this.#deliver(() => browser.handleDatagram(to, datagram, this.now), true);
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

/** Finds the key that opens a packet: of each receiver it has several, one after the other. */
class KeyRing {
  readonly #openers: { readonly name: string; readonly open: ReturnType<typeof opener>; ip: string }[];

  constructor(keys: readonly LoggedKey[]) {
    this.#openers = keys.map(({ profile, master }, number) => ({
      name: `key ${number}`,
      open: opener(profile, master, REACH),
      ip: '',
    }));
  }

  /** The key and index of a packet; `undefined` where no key opens it. */
  open(ip: string, datagram: Uint8Array): string | undefined {
    for (const [place, opener] of this.#openers.entries()) {
      if (opener.ip !== '' && opener.ip !== ip) continue;
      const index = opener.open(datagram);
      if (index === undefined) continue;
      opener.ip = ip;
      // The next packet is most likely under the same key.
      this.#openers.splice(place, 1);
      this.#openers.unshift(opener);
      return `${opener.name} ${index}`;
    }
    return undefined;
  }
}

/** How many rollovers of its sequence numbers a stream may make unseen, in a numbering that leaps. */
const REACH = 8;

/** Tells under which index of these keys a datagram is authentic, within `reach` rollovers of the last that was. */
export function opener(
  profile: SrtpProfile,
  master: SrtpMasterKey,
  reach = 2,
): (datagram: Uint8Array) => string | undefined {
  const transform = createTransform(profile, deriveSessionKeys(profile, master));
  const rollovers = new Map<string, number>();
  return (datagram) => {
    const kind = classifyDatagram(datagram);
    if (kind === 'srtcp') {
      if (transform.openRtcp(datagram) === undefined) return undefined;
      return `srtcp ${toHex(datagram.subarray(4, 8))}/${transform.readRtcpTrailer(datagram)?.index}`;
    }
    if (kind !== 'srtp') return undefined;
    const headerLength = rtpHeaderLength(datagram) ?? 12;
    const sequence = readUint16(datagram, 2);
    const ssrc = toHex(datagram.subarray(8, 12));
    const last = rollovers.get(ssrc) ?? 0;
    for (let step = 0; step <= reach; step++) {
      // The next ones first, then those before.
      for (const rollover of step === 0 ? [last] : [last + step, last - step]) {
        const index = rollover * 65_536 + sequence;
        if (rollover < 0 || transform.openRtp(datagram, headerLength, index) === undefined) continue;
        rollovers.set(ssrc, rollover);
        return `${ssrc}/${index}`;
      }
    }
    return undefined;
  };
}
