import { expect } from 'vitest';
import type { Broadcast } from '../../src/server/broadcast.ts';
import { type Address, addressKey, sameAddress } from '../../src/transport/address.ts';
import type { Peer } from '../../src/transport/peer.ts';
import { type RandomSource, randomBytes } from '../../src/util/rng.ts';
import type { ServerKnobs } from './dtls-server.ts';
import { type OnAir, onAir } from './on-air.ts';
import { seededRandom } from './seeded-rng.ts';
import { bindingRequest } from './stun.ts';
import type { VirtualBrowser } from './virtual-browser.ts';
import type { VirtualWorld, WorldOptions } from './virtual-world.ts';

const FRAMES_A_SECOND = 25;
const PACKETS_A_FRAME = 3;

/** A broadcaster on air and viewers who see it, on virtual time, and what somebody who means ill can do about them. */
export class Scene {
  readonly world: VirtualWorld;
  readonly rng: RandomSource;
  readonly broadcaster: VirtualBrowser;
  readonly viewers: readonly VirtualBrowser[];

  private constructor({ world, broadcaster, viewers }: OnAir, seed: number) {
    this.world = world;
    this.rng = seededRandom(seed);
    this.broadcaster = broadcaster;
    this.viewers = viewers;
  }

  static async create(viewers = 1, options: Partial<WorldOptions> = {}): Promise<Scene> {
    const { seed = 3 } = options;
    return new Scene(await onAir({ ...options, seed, viewers }), seed);
  }

  dispose(): Promise<void> {
    return this.world.dispose();
  }

  get broadcast(): Broadcast {
    if (this.world.broadcast === undefined) throw new Error('no server runs');
    return this.world.broadcast;
  }

  get everybody(): readonly VirtualBrowser[] {
    return [this.broadcaster, ...this.viewers];
  }

  /** Somebody whose browser does not shake hands as it should. */
  addRogue(knobs: ServerKnobs): VirtualBrowser {
    const rogue = this.world.addBrowser({ knobs });
    this.world.open(rogue);
    return rogue;
  }

  /** The server ends and begins anew, and everybody comes back: new keys are on their way. */
  async restart(): Promise<void> {
    this.world.kill();
    await this.world.run(200);
    await this.world.start();
    for (const browser of this.everybody) this.world.open(browser);
  }

  async until(what: string, done: () => boolean, within = 10_000): Promise<void> {
    if (!(await this.world.run(within, done)))
      throw new Error(`in ${within} ms it did not come to pass: ${what}`);
  }

  /** Where its newest connection sends from. */
  addressOf(browser: VirtualBrowser): Address {
    return { ip: ipOf(this.world, browser), port: browser.current!.port! };
  }

  /** The browser's packets come from another port from now on, and those to the ports before are lost: a NAT has forgotten it. */
  move(browser: VirtualBrowser, port: number): Address {
    const { ports } = browser.current!;
    ports.splice(0, ports.length, port);
    return this.addressOf(browser);
  }

  peerOf(browser: VirtualBrowser): Peer {
    return this.#routeOf(browser).peer;
  }

  /** The peer of who has come last, and may have no address yet. */
  get newestPeer(): Peer {
    return [...this.broadcast.sessions].at(-1)!.connections.at(-1)!.peer;
  }

  /** A check as the browser of this peer sends it: everybody knows their own credentials. */
  checkFor(
    peer: Peer,
    options: { readonly nominate?: boolean; readonly password?: string; readonly username?: string } = {},
  ): Uint8Array {
    const { ufrag, pwd } = peer.iceCredentials;
    return bindingRequest({
      transactionId: randomBytes(this.rng, 12),
      username: options.username ?? `${ufrag}:${peer.captureIdentity()?.remoteUfrag}`,
      password: options.password ?? pwd,
      priority: 1,
      tieBreaker: new Uint8Array(8),
      useCandidate: options.nominate ?? false,
    });
  }

  /** A datagram reaches the server now; gives what the server sends in the same turn to that address. */
  heardAt(from: Address, datagram: Uint8Array): readonly Uint8Array[] {
    const mark = this.world.sent.length;
    this.world.hear(datagram, from);
    return this.sentTo(from, mark);
  }

  sentTo(address: Address, mark = 0): readonly Uint8Array[] {
    const key = addressKey(address);
    return this.world.sent
      .slice(mark)
      .flatMap(({ to, datagram }) => (addressKey(to) === key ? [datagram] : []));
  }

  /** What the attack has added to the counts of dropped datagrams. */
  async drops(attack: () => unknown): Promise<Readonly<Record<string, number>>> {
    const before = this.broadcast.dropCounts;
    await attack();
    const after = Object.entries(this.broadcast.dropCounts.toJSON());
    return Object.fromEntries(
      after.flatMap(([reason, count]) =>
        count > before.get(reason) ? [[reason, count - before.get(reason)]] : [],
      ),
    );
  }

  /**
   * Runs an attack and a second more, and expects that nobody has noticed: every viewer has every packet that was sent in the meantime, without
   * asking for one, on the connection and under the keys it had. The broadcaster was asked for a keyframe by none of it, unless it may be:
   * whoever joins asks for one.
   */
  async expectUndisturbed(
    attack: () => unknown,
    victims: readonly VirtualBrowser[] = this.viewers,
    mayAskForKeyframes = false,
  ): Promise<void> {
    const { plis } = this.broadcaster.current!;
    const before = victims.map((viewer) => ({ viewer, from: lastOf(viewer), ...this.#standing(viewer) }));
    const sessions = victims.map((victim) => this.#routeOf(victim).session);
    const start = this.world.now;
    const events = this.world.events.length;
    await attack();
    await this.world.run(1_000);
    const frames = ((this.world.now - start) / 1_000) * FRAMES_A_SECOND;
    for (const { viewer, from, ...standing } of before) {
      const numbers = numbersOf(viewer);
      const fresh = numbers.slice(numbers.indexOf(from) + 1);
      expect(fresh.length).toBeGreaterThan(frames * PACKETS_A_FRAME);
      expect(fresh.map((number) => (number - from) & 0xffff)).toEqual(fresh.map((_, i) => i + 1));
      expect(this.#standing(viewer)).toEqual(standing);
    }
    if (!mayAskForKeyframes) expect(this.broadcaster.current!.plis).toBe(plis);
    const noticed = this.world.events
      .slice(events)
      .filter((event) => 'connection' in event && sessions.some((id) => event.connection.startsWith(id)));
    expect(noticed).toEqual([]);
  }

  #routeOf(browser: VirtualBrowser): { readonly session: string; readonly peer: Peer } {
    const address = this.addressOf(browser);
    for (const { id: session, connections } of this.broadcast.sessions) {
      for (const { peer } of connections) {
        if (peer.remoteAddress !== undefined && sameAddress(peer.remoteAddress, address))
          return { session, peer };
      }
    }
    throw new Error(`${browser.name} has no peer`);
  }

  #standing(viewer: VirtualBrowser) {
    const { made, inUse, associations } = viewer;
    const { nacked } = this.broadcaster.current!;
    const address = this.peerOf(viewer).remoteAddress;
    return { made, inUse, associations: associations.length, nacked: nacked.length, address };
  }
}

/** Sequence numbers that a viewer has received, in order of arrival. */
const numbersOf = (viewer: VirtualBrowser): readonly number[] =>
  [...(viewer.current?.received.keys() ?? [])].map((key) => Number(key.slice(key.indexOf('/') + 1)));

const lastOf = (viewer: VirtualBrowser): number => numbersOf(viewer).at(-1)!;

const ipOf = (world: VirtualWorld, browser: VirtualBrowser): string =>
  `10.0.1.${world.browsers.indexOf(browser) + 1}`;
