import { createSocket } from 'node:dgram';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { askServer } from '../src/cli/admin-client.ts';
import { testIdentity } from '../test/support/dtls-identity.ts';
import { LOOPBACK } from '../test/support/ports.ts';
import type { ServerProcess } from '../test/support/process.ts';
import { elapse, until } from '../test/support/wait.ts';
import { WsClient } from '../test/support/ws-client.ts';
import { openPages, Page } from './fanout-page.ts';
import type { Held, ProbedServer } from './probed-server.ts';

/** Those who come and go in `bench/soak.ts`, and what is seen of the server meanwhile. */

/** Memory is looked at this often. */
export const SAMPLE_MS = 30_000;
/** Viewers, when they are fewest. */
export const FEWEST = 60;
const STEP_MS = 100;
const REKEY_EVERY_MS = 45_000;
/** The first comes early: what makes certificates is loaded once, and stays. */
const FIRST_CERTIFICATE_MS = 50_000;
const CERTIFICATE_EVERY_MS = 200_000;
const DOWN_MS = 300;
/** Chances of what happens in a step. */
const CHANCE = { reload: 0.1, move: 0.1, vanish: 0.06, leave: 0.3, junk: 0.5, stranger: 0.2 } as const;
const WAVE_MS = 20_000;
const JUNK_BYTES = 120;
const MB = 2 ** 20;

const identity = await testIdentity();

export interface Sample extends Held {
  readonly life: number;
  /** Of this life, when the sample was taken. */
  readonly ageMs: number;
  /** Of this life so far. */
  readonly joins: number;
  readonly sessions: number;
  readonly cpuSeconds: number;
  readonly sizes: Readonly<Record<string, number>>;
}

/** Those who watch, and what happens to them. */
export class Crowd {
  readonly samples: Sample[] = [];
  readonly done = {
    joins: 0,
    leaves: 0,
    vanished: 0,
    reloads: 0,
    moves: 0,
    rekeys: 0,
    certificates: 0,
    restarts: 0,
    junk: 0,
    strangers: 0,
    lost: 0,
  };
  readonly #probed: ProbedServer;
  readonly #most: number;
  readonly #viewers = new Set<Page>();
  /** Busy with something that is not to be interrupted. */
  readonly #busy = new Set<Page>();
  readonly #junk = createSocket('udp4');
  #source: Page | undefined;
  #down = false;
  #joinsAtStart = 0;
  #number = 0;

  constructor(probed: ProbedServer, most: number) {
    this.#probed = probed;
    this.#most = most;
    this.#junk.on('error', () => undefined);
  }

  get #server(): ServerProcess {
    return this.#probed.server;
  }

  async begin(): Promise<void> {
    [this.#source] = await openPages(1, 1, () =>
      pageAt(this.#server, 'source', { packets: 4, padding: 984 }),
    );
  }

  async live(ms: number, life: number): Promise<void> {
    const bornAt = performance.now();
    this.#joinsAtStart = this.done.joins;
    const age = (): number => performance.now() - bornAt;
    let sampleAt = Math.min(SAMPLE_MS, ms - STEP_MS);
    let [rekeyAt, certificateAt] = [REKEY_EVERY_MS, FIRST_CERTIFICATE_MS];
    while (age() < ms) {
      await elapse(STEP_MS);
      this.#step(age());
      if (age() >= rekeyAt) {
        rekeyAt += REKEY_EVERY_MS;
        this.done.rekeys++;
        await this.#order('rekey');
      }
      if (age() >= certificateAt) {
        certificateAt += CERTIFICATE_EVERY_MS;
        this.done.certificates++;
        await this.#order('certificate');
      }
      if (age() >= sampleAt) {
        sampleAt += SAMPLE_MS;
        await this.#sample(life, age());
      }
    }
  }

  async restart(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#down = true;
    this.done.restarts++;
    await until('nothing is under way', () => this.#busy.size === 0, 60_000);
    const pages = [this.#source!, ...this.#viewers];
    const had = new Map(pages.map((page) => [page, page.browser.associations.length]));
    await this.#server.restart(DOWN_MS, signal);
    await Promise.all(
      pages.map(async (page) => {
        await page.connect();
        const back = await page.sees(() => page.browser.associations.length > had.get(page)!, 20_000);
        if (back || page === this.#source) return;
        this.#say('not back after a restart', page);
        this.done.lost++;
        this.#viewers.delete(page);
        page.leave();
      }),
    );
    this.#down = false;
  }

  end(): void {
    for (const page of [this.#source, ...this.#viewers]) page?.leave();
    this.#junk.close();
  }

  #step(age: number): void {
    if (this.#down) return;
    const wave = (1 + Math.sin((age / WAVE_MS) * 2 * Math.PI)) / 2;
    const wanted = FEWEST + (this.#most - FEWEST) * wave;
    if (this.#viewers.size + this.#busy.size < wanted) this.#go(() => this.#join());
    if (chance(CHANCE.leave)) this.#take((page) => this.#leave(page, 'leaves', 'leave'));
    if (chance(CHANCE.vanish)) this.#take((page) => this.#leave(page, 'vanished', 'nothing'));
    if (this.#viewers.size > wanted + 5) this.#take((page) => this.#leave(page, 'leaves', 'leave'));
    if (chance(CHANCE.reload)) this.#take((page) => this.#go(() => this.#reload(page)));
    if (chance(CHANCE.move)) this.#take((page) => this.#go(() => this.#move(page)));
    if (chance(CHANCE.junk)) this.#sendJunk();
    if (chance(CHANCE.stranger)) this.#go(() => this.#stranger());
  }

  /** Somebody who is doing nothing else. */
  #take(then: (page: Page) => void): void {
    const free = [...this.#viewers].filter((page) => !this.#busy.has(page));
    const page = free[Math.floor(Math.random() * free.length)];
    if (page !== undefined) then(page);
  }

  #go(what: () => Promise<void>): void {
    what().catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      this.done.lost++;
    });
  }

  async #join(): Promise<void> {
    await this.#bringUp(pageAt(this.#server, `viewer ${this.#number++}`));
    this.done.joins++;
  }

  async #bringUp(page: Page): Promise<void> {
    this.#busy.add(page);
    try {
      await page.connect();
      const connected = await page.sees(() => page.browser.current?.connected === true);
      if (connected) this.#viewers.add(page);
      else {
        this.#say('no keys', page);
        this.done.lost++;
        page.leave();
      }
    } finally {
      this.#busy.delete(page);
    }
  }

  #leave(page: Page, as: 'leaves' | 'vanished', word: 'leave' | 'nothing'): void {
    this.done[as]++;
    this.#viewers.delete(page);
    page.leave(word);
  }

  async #reload(page: Page): Promise<void> {
    this.#viewers.delete(page);
    const { token } = page.browser;
    page.leave('away');
    const again = pageAt(this.#server, page.browser.name);
    again.browser.token = token;
    this.done.reloads++;
    await this.#bringUp(again);
  }

  #say(what: string, { browser }: Page): void {
    const { epoch, connected } = browser.current ?? {};
    process.stderr.write(
      `${browser.name}: ${what}: ${JSON.stringify({ errors: browser.errors, token: browser.token !== undefined, epoch, connected })}\n`,
    );
  }

  async #move(page: Page): Promise<void> {
    this.#busy.add(page);
    this.done.moves++;
    try {
      await page.move();
      // Its session may have ended meanwhile.
      if (page.browser.token === undefined) this.#leave(page, 'leaves', 'leave');
    } finally {
      this.#busy.delete(page);
    }
  }

  /** Of nobody, and each kind of datagram; from the same few ports, and to nobody who is there. */
  #sendJunk(): void {
    this.done.junk++;
    const bytes = new Uint8Array(JUNK_BYTES).map(() => Math.floor(Math.random() * 256));
    bytes[0] = [0, 22, 128, 200][Math.floor(Math.random() * 4)]!;
    this.#junk.send(bytes, this.#server.udpPort, LOOPBACK);
  }

  /** Comes with a token that nobody has, by a name that is not ours, or for a page that there is not. */
  async #stranger(): Promise<void> {
    const number = this.done.strangers++;
    const { url } = this.#server;
    if (number % 3 === 0) {
      const socket = await WsClient.connect(url, { token: Buffer.alloc(32, number).toString('base64url') });
      await elapse(200);
      socket.close();
    } else if (number % 3 === 1) {
      const origin = `http://stranger-${number}.example`;
      await WsClient.connect(url, { origin }).catch(() => undefined);
    } else await (await fetch(`${url}nothing-${number}`)).arrayBuffer();
  }

  async #order(command: 'rekey' | 'certificate'): Promise<void> {
    await askServer(this.#server.adminSocket, { command });
  }

  async #sample(life: number, ageMs: number): Promise<void> {
    const held = await this.#probed.memory();
    const facts = await this.#probed.facts();
    const { state, runtime } = this.#server.directories;
    const size = (directory: string, name: string): number =>
      statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
    this.samples.push({
      ...held,
      life,
      ageMs,
      joins: this.done.joins - this.#joinsAtStart,
      sessions: facts.sessions.groups.reduce((sum, { count }) => sum + count, 0),
      cpuSeconds: facts.process.cpuSeconds,
      sizes: {
        'identity.sealed': size(state, 'identity.sealed'),
        'media.sealed': size(runtime, 'media.sealed'),
        'audit.log': size(state, 'audit.log'),
      },
    });
    const { sessions } = this.samples.at(-1)!;
    process.stderr.write(
      `life ${life}, ${Math.round(ageMs / 1000)} s: heap ${mb(held.heapUsed)}, external ${mb(held.external)}, resident ${mb(held.rss)}, ${sessions} sessions, ${held.files} descriptors, ${JSON.stringify(held.resources)} ${JSON.stringify(this.done)}\n`,
    );
  }
}

export function pageAt(
  server: ServerProcess,
  name: string,
  frame?: ConstructorParameters<typeof Page>[0]['frame'],
): Page {
  const at = { url: server.url, udpPort: server.udpPort, identity, name };
  return new Page(frame === undefined ? { ...at, every: 16 } : { ...at, frame });
}

export function mb(bytes: number): string {
  return `${(bytes / MB).toFixed(1)} MB`;
}

function chance(share: number): boolean {
  return Math.random() < share;
}
