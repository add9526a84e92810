import { parseArgs } from 'node:util';
import { modulo } from '../src/util/modular.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { openPages, Page } from './fanout-page.ts';
import { systemNow } from './times.ts';

/**
 * The pages of `bench/resume.ts`, in a process of their own: the broadcaster, or viewers. They come back when they are told that the server is there.
 * Times are the system's monotonic clock, which all processes share.
 */

/** First visits under way at a time: they are not what is measured. */
const AT_ONCE = 16;
/** Of the broadcaster; with its headers a packet has 1,100 bytes. */
const FRAME = { packets: 1, padding: 1_084 };
/** Of a viewer who has had its first packet, and whose others are not looked at. */
const FEW = 8;
/** Packets of a viewer whose times are kept: some seconds. */
const MAX_TIMES = 4_000;
const NUMBERS = 2 ** 16;
/** A second of frames, for one that never comes: a keyframe is there by then. */
const PATIENCE_FRAMES = 30;

const { values: options } = parseArgs({
  options: {
    role: { type: 'string', default: 'viewers' },
    url: { type: 'string', default: '' },
    udp: { type: 'string', default: '0' },
    count: { type: 'string', default: '1' },
    /** The times of all packets are kept, not only of the first. */
    all: { type: 'boolean', default: false },
  },
});

export type LoadOrder = 'outage' | 'come-back' | 'look';

/** What one page has seen since the outage. */
export interface PageReport {
  /** The first packet that it could decrypt. */
  readonly firstPacketAt: number | undefined;
  /** New keys, as the page has them. */
  readonly rekeyedAt: number | undefined;
  /** One connection is closed and another made, where the keys of the first could not be replaced in place. */
  readonly made: number;
  /** When packets came with which the picture went on. */
  readonly packetTimes: readonly number[];
}

const identity = await testIdentity();
const watched = options.role === 'viewers';

class Watched {
  readonly page: Page;
  #firstPacketAt: number | undefined;
  #rekeyedAt: number | undefined;
  #times: number[] = [];
  #picture: Picture | undefined;
  #made = 0;

  constructor(number: number) {
    this.page = new Page({
      url: options.url,
      udpPort: Number(options.udp),
      name: `page ${number}`,
      identity,
      ...(watched
        ? { every: options.all ? 1 : FEW, heard: (sequence) => this.#heard(sequence) }
        : { frame: FRAME }),
    });
  }

  get report(): PageReport {
    return {
      firstPacketAt: this.#firstPacketAt,
      rekeyedAt: this.#rekeyedAt,
      made: this.page.browser.made - this.#made,
      packetTimes: this.#times,
    };
  }

  /** The server has gone. */
  beginOutage(): void {
    this.#firstPacketAt = undefined;
    this.#rekeyedAt = undefined;
    this.#times = [];
    this.#picture = undefined;
    this.#made = this.page.browser.made;
    this.page.sample(1);
  }

  async comeBack(): Promise<void> {
    this.#picture = new Picture();
    const { browser } = this.page;
    const had = browser.associations.length;
    const rekeyed = this.page.sees(() => browser.associations.length > had, Number.POSITIVE_INFINITY);
    await this.page.connect();
    await rekeyed;
    this.#rekeyedAt = systemNow();
  }

  #heard(sequence: number | undefined): void {
    const at = systemNow();
    const shows = sequence !== undefined && (this.#picture?.goesOn(sequence) ?? true);
    if (options.all && shows && this.#times.length < MAX_TIMES) this.#times.push(at);
    if (this.#firstPacketAt !== undefined) return;
    this.#firstPacketAt = at;
    if (!options.all) this.page.sample(FEW);
  }
}

/** What a decoder makes of packets that are a frame each: one is shown when all before it are there. */
class Picture {
  #next: number | undefined;
  readonly #waiting = new Set<number>();

  /** Whether something new is shown with this packet. */
  goesOn(sequence: number): boolean {
    this.#next ??= sequence;
    // It was sent before the first that counts.
    if (modulo(sequence - this.#next, NUMBERS) >= NUMBERS / 2) return false;
    this.#waiting.add(sequence);
    if (this.#waiting.size > PATIENCE_FRAMES) {
      this.#waiting.clear();
      this.#next = modulo(sequence + 1, NUMBERS);
      return true;
    }
    const before = this.#next;
    while (this.#waiting.delete(this.#next)) this.#next = modulo(this.#next + 1, NUMBERS);
    return this.#next !== before;
  }
}

const pages: Watched[] = [];
await openPages(Number(options.count), AT_ONCE, (number) => {
  pages[number] = new Watched(number);
  return pages[number].page;
});
process.send?.('ready');

process.on('message', (order: LoadOrder) => {
  if (order === 'outage') for (const page of pages) page.beginOutage();
  if (order === 'come-back') for (const page of pages) void page.comeBack();
  process.send?.(order === 'look' ? pages.map((page) => page.report) : 'done');
});
process.on('disconnect', () => process.exit());
