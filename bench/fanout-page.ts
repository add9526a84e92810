import { PAYLOAD_TYPE } from '../src/room/media.ts';
import {
  formatPosition,
  type ServerMessage,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
} from '../src/signaling/protocol.ts';
import type { Address } from '../src/transport/address.ts';
import { classifyDatagram } from '../src/transport/demux.ts';
import type { DtlsIdentity } from '../src/transport/dtls/client.ts';
import { secureRandom } from '../src/util/rng.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import { type FrameShape, VirtualBrowser, type VirtualConnection } from '../test/support/virtual-browser.ts';
import { until } from '../test/support/wait.ts';
import { WsClient } from '../test/support/ws-client.ts';
import { addressIn } from './candidate.ts';
import { openSieved, type Sieve, type SievedSocket } from './fanout-sieve.ts';

/** RFC 7675 §5.1. */
const CONSENT_MS = 5_000;
const REPORT_MS = 1_000;
/** What a viewer says that it has lost. */
const LOSS = 0.005;
const BITRATE = 5_000_000;
/** A page that has no keys by then leaves, and another comes in its place. */
const PATIENCE_MS = 30_000;
const ATTEMPTS = 20;
const OWN_SSRC = 7;
/** Not every server can be had on loopback. */
const ANY_ADDRESS = '0.0.0.0';
/** In units of the timestamp: a millisecond. */
const JITTER = 90;

/** What has been so far. */
export interface Counts {
  /** When that was, by the clock of the process that has counted. */
  at: number;
  /** Media packets of a broadcaster, those that were asked for again not among them. */
  sent: number;
  /** Media that has come to their sockets, whether it was looked at or not. */
  datagrams: number;
  /** Of it, what this process has got, and what of that could be decrypted. */
  sampled: number;
  decrypted: number;
  /** Of the sample, what was sent again because a viewer asked for it. */
  resent: number;
}

export interface PageOptions {
  readonly url: string;
  readonly udpPort: number;
  readonly name: string;
  readonly identity: DtlsIdentity;
  /** Of a broadcaster. */
  readonly frame?: FrameShape;
  /** One in so many of its media packets comes to this process, a power of two: the kernel drops the others. */
  readonly every?: number;
  /** Of the key exchange, where the server does not take what is usual here. */
  readonly group?: number;
  readonly counts?: Counts;
  /** Is told of each media packet that it could decrypt, and of its number, where it was not sent again on a stream for that. */
  readonly heard?: (sequence: number | undefined) => void;
}

/** A page over real sockets: its messages on a WebSocket, each port of its browser a UDP socket. It sleeps until something is due. */
export class Page {
  readonly browser: VirtualBrowser;
  readonly #options: PageOptions;
  readonly #counts: Counts;
  /** Not everybody's sample comes in the same moment. */
  readonly #place = Math.random();
  #every: number;
  readonly #sockets = new Map<number, SievedSocket>();
  /** Where it was told to send to last. */
  #server: Address;
  #ws: WsClient | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Number.POSITIVE_INFINITY;
  #reportAt = Number.POSITIVE_INFINITY;
  #left = false;
  /** Of the video that it watches. */
  #ssrc = 0;
  #highest = 0;
  readonly #watchers = new Set<() => void>();

  constructor(options: PageOptions) {
    this.#options = options;
    this.#counts = options.counts ?? { at: 0, sent: 0, datagrams: 0, sampled: 0, decrypted: 0, resent: 0 };
    this.#every = options.every ?? 1;
    const { udpPort, name, identity, frame, group } = options;
    this.#server = { ip: LOOPBACK, port: udpPort };
    this.browser = new VirtualBrowser({
      name,
      ip: LOOPBACK,
      identity,
      rng: secureRandom,
      server: { ip: LOOPBACK, port: udpPort },
      ports: {
        transmit: (from, datagram) => {
          if (this.#left) return;
          if (classifyDatagram(datagram) === 'srtp' && payloadTypeOf(datagram) === PAYLOAD_TYPE.vp8)
            this.#counts.sent++;
          this.#socket(from.port).socket.send(datagram, this.#server.port, this.#server.ip);
        },
        say: (message) => this.#ws?.say(message),
      },
      knobs: { profile: 'AES_CM_128_HMAC_SHA1_80', ...(group === undefined ? {} : { group }) },
      checkInterval: CONSENT_MS,
      ...(frame === undefined ? {} : { frame }),
    });
  }

  /** Media that has come to its sockets and is not counted as sampled. */
  get dropped(): number {
    return [...this.#sockets.values()].reduce((sum, { dropped }) => sum + dropped(), 0);
  }

  /** Another sample of the media from now on. What lies at ports of before its last ICE restart is let go. */
  sample(every: number): void {
    this.#every = every;
    for (const [port, opened] of this.#sockets) {
      if (this.browser.current?.port === port) {
        opened.sieve(this.#sieve);
        continue;
      }
      opened.socket.close();
      this.#sockets.delete(port);
    }
  }

  /** Comes for the first time, or again, and where it was. */
  async connect(): Promise<void> {
    const { token, position } = this.browser;
    // What comes right behind the handshake is answered on this WebSocket, and not on the one before.
    const early: ServerMessage[] = [];
    this.#ws = undefined;
    const hear = (message: ServerMessage): void => {
      if (message.type === 'offer') this.#server = addressIn(message.sdp) ?? this.#server;
      this.browser.handleMessage(message, performance.now());
      this.#run();
    };
    const ws = await until('the WebSocket opens', () =>
      WsClient.connect(this.#options.url, {
        protocols: [
          SUBPROTOCOL,
          ...(token === undefined ? [] : [TOKEN_SUBPROTOCOL_PREFIX + token]),
          ...(position === undefined ? [] : [formatPosition(position)]),
        ],
        heard: (message) => (this.#ws === undefined ? early.push(message) : hear(message)),
      }),
    );
    this.#ws = ws;
    for (const message of early) hear(message);
    if (token === undefined) ws.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  }

  /** Whether `condition` has come true, which is asked after each thing that has happened. */
  async sees(condition: () => boolean, patienceMs = PATIENCE_MS): Promise<boolean> {
    if (condition()) return true;
    return new Promise((resolve) => {
      const end = (result: boolean): void => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
        resolve(result);
      };
      const watch = (): void => {
        if (condition()) end(true);
      };
      const timer = Number.isFinite(patienceMs) ? setTimeout(() => end(false), patienceMs) : undefined;
      this.#watchers.add(watch);
    });
  }

  /** For good, for the moment of a reload, or without a word. */
  leave(word: 'leave' | 'away' | 'nothing' = 'leave'): void {
    this.#left = true;
    clearTimeout(this.#timer);
    if (word !== 'nothing') this.#ws?.say({ type: word });
    this.#ws?.close();
    this.#closeSockets();
  }

  /** Another network: what it sends comes from other addresses, and its WebSocket is another. */
  async move(): Promise<void> {
    this.#closeSockets();
    this.#ws?.close();
    await this.connect();
  }

  #closeSockets(): void {
    for (const { socket } of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  /** Does what is due, and sleeps until the next thing is. */
  #run(): void {
    if (this.#left) return;
    let now = performance.now();
    let next = this.browser.nextTimeout();
    while (next <= now) {
      this.browser.tick(now);
      next = this.browser.nextTimeout();
    }
    const { current } = this.browser;
    if (current?.connected === true && current.role === 'viewer') {
      now = performance.now();
      if (this.#reportAt === Number.POSITIVE_INFINITY) this.#reportAt = now + Math.random() * REPORT_MS;
      if (now >= this.#reportAt) {
        this.#reportAt += REPORT_MS;
        this.#report(current);
      }
      next = Math.min(next, this.#reportAt);
    }
    for (const watch of this.#watchers) watch();
    if (next === this.#wakeAt) return;
    this.#wakeAt = next;
    clearTimeout(this.#timer);
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#wakeAt = Number.POSITIVE_INFINITY;
        this.#run();
      },
      Math.max(0, next - performance.now()),
    );
  }

  get #sieve(): Sieve {
    const every = this.#every;
    return { every, remainder: Math.floor(this.#place * every), payloadType: PAYLOAD_TYPE.vp8 };
  }

  #socket(port: number): SievedSocket {
    const known = this.#sockets.get(port);
    if (known !== undefined) return known;
    const opened = openSieved(ANY_ADDRESS, this.#sieve);
    opened.socket.on('message', (datagram) => this.#receive(new Uint8Array(datagram), port));
    opened.socket.on('error', () => undefined);
    this.#sockets.set(port, opened);
    return opened;
  }

  #receive(datagram: Uint8Array, port: number): void {
    const to = { ip: LOOPBACK, port };
    if (classifyDatagram(datagram) !== 'srtp') {
      this.browser.handleDatagram(to, datagram, performance.now());
      this.#run();
      return;
    }
    const counts = this.#counts;
    counts.sampled++;
    const { current } = this.browser;
    const now = performance.now();
    this.browser.handleDatagram(to, datagram, now);
    // It is told there of what has been authenticated.
    if (current?.receivedAt !== now) return;
    counts.decrypted++;
    // What it has seen it need not keep.
    current.received.clear();
    if (payloadTypeOf(datagram) !== PAYLOAD_TYPE.vp8) {
      counts.resent++;
      this.#options.heard?.(undefined);
      return;
    }
    const header = new DataView(datagram.buffer, datagram.byteOffset);
    [this.#highest, this.#ssrc] = [header.getUint16(2), header.getUint32(8)];
    this.#options.heard?.(this.#highest);
    if (Math.random() < LOSS * this.#every) this.#miss(current);
  }

  /** Once a second, as browsers do. */
  #report(connection: VirtualConnection): void {
    const block = {
      ssrc: this.#ssrc,
      fractionLost: Math.round(LOSS * 256),
      lost: 0,
      highestSequence: this.#highest,
      jitter: JITTER,
      lastReport: 0,
      delaySinceLastReport: 0,
    };
    connection.sendRtcp([
      { type: 'receiverReport', ssrc: OWN_SSRC, reports: this.#ssrc === 0 ? [] : [block] },
      { type: 'remb', sender: OWN_SSRC, bitrate: BITRATE, ssrcs: [this.#ssrc] },
    ]);
  }

  /** As if the packet before had not come. */
  #miss(connection: VirtualConnection): void {
    const sequences = [(this.#highest - 1) & 0xffff];
    connection.sendRtcp([{ type: 'nack', sender: OWN_SSRC, media: this.#ssrc, sequences }]);
  }
}

const payloadTypeOf = (datagram: Uint8Array): number => datagram[1]! & 0x7f;

/** Opens so many pages, `atOnce` at a time, and gives them once they have keys. */
export async function openPages(
  count: number,
  atOnce: number,
  make: (number: number) => Page,
): Promise<readonly Page[]> {
  const pages: Page[] = [];
  let next = 0;
  const openInTurn = async (): Promise<void> => {
    while (next < count) pages.push(await openOne(next++, make));
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, openInTurn));
  return pages;
}

async function openOne(number: number, make: (number: number) => Page): Promise<Page> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const page = make(number);
    await page.connect();
    if (await page.sees(() => page.browser.current?.connected === true)) return page;
    page.leave();
  }
  throw new Error('a page gets no keys, however often it tries');
}
