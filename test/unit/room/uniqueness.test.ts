import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Room } from '../../../src/room/room.ts';
import type { RoomState } from '../../../src/room/state.ts';
import { writeRtcp } from '../../../src/rtp/rtcp.ts';
import { toHex } from '../../../src/util/bytes.ts';
import { audioPacket, retransmissionOf, videoPacket } from '../../support/room-media.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const VIEWERS = ['u', 'v', 'w'] as const;
const SOURCES = [
  { producer: 'a', ssrc: 1 },
  { producer: 'a', ssrc: 2 },
  { producer: 'b', ssrc: 3 },
] as const;

const source = fc.constantFrom(0, 0, 0, 1, 2);
const small = fc.nat({ max: 30 });
const action = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      do: fc.constant('video' as const),
      source,
      count: fc.integer({ min: 1, max: 6 }),
      /** How far behind the source's newest number; negative skips numbers. */
      behind: fc.integer({ min: -12, max: 6 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('audio' as const), source }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('rtx' as const), source, behind: small }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('produce' as const), by: fc.constantFrom('a', 'b', undefined) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('nack' as const), viewer: fc.nat({ max: 2 }), behind: small }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('join' as const), viewer: fc.nat({ max: 2 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('rekey' as const),
      viewer: fc.nat({ max: 2 }),
      served: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rekeyed' as const), viewer: fc.nat({ max: 2 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('producer-rekeyed' as const),
      source,
      /** What it is asked for ahead, and sends: so far beyond its newest number, the same one again among them. */
      ahead: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 6 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), span: fc.nat({ max: 700 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('write' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** The broadcaster sends the same packet under the same number, however often. */
const isKeyframe = (sequence: number): boolean => sequence % 5 === 0;

/** A server with its viewers' send contexts, which live on across a crash until they are re-keyed. */
class Server {
  #now = 1000;
  #lives = 0;
  #written: RoomState;
  #room: Room;
  /** The send context of each viewer: which (SSRC, index) it has protected. */
  readonly #contexts = new Map<string, Set<string>>();
  /** What each (SSRC, index) of the room's streams carried, in every process. */
  readonly #carried = new Map<string, string>();
  readonly #newest = new Map<number, number>();
  #newestIndex = 0;
  delivered = 0;

  constructor() {
    this.#room = new Room({ rng: seededRandom(1), now: this.#now, wall: 1_800_000_000_000 });
    this.#room.setProducer('a');
    this.#written = this.#room.capture();
    this.#room.granted(this.#written);
    for (const viewer of VIEWERS) this.#apply({ do: 'join', viewer: VIEWERS.indexOf(viewer) });
  }

  run(step: Action): void {
    this.#apply(step);
    this.#drain();
  }

  #apply(step: Action): void {
    const room = this.#room;
    const now = this.#now;
    switch (step.do) {
      case 'video': {
        const { producer, ssrc } = SOURCES[step.source]!;
        for (let i = 0; i < step.count; i++) {
          const newest = this.#newest.get(ssrc) ?? ssrc * 20_000;
          const sequence = newest + 1 - step.behind;
          this.#newest.set(ssrc, Math.max(newest, sequence));
          const packet = { sequence, ssrc, keyframe: isKeyframe(sequence), timestamp: sequence * 300 };
          room.handleProducerRtp(producer, videoPacket(packet), now);
        }
        return;
      }
      case 'audio': {
        const { producer, ssrc } = SOURCES[step.source]!;
        const sequence = (this.#newest.get(-ssrc) ?? 0) + 1;
        this.#newest.set(-ssrc, sequence);
        room.handleProducerRtp(
          producer,
          audioPacket({ sequence, ssrc: ssrc + 100, timestamp: sequence * 960 }),
          now,
        );
        return;
      }
      case 'rtx':
        this.#retransmit(step.source, -step.behind);
        return;
      case 'produce':
        room.setProducer(step.by);
        return;
      case 'nack':
        for (const { ssrc } of room.capture().streams) {
          const sequences = [(this.#newestIndex - step.behind) & 0xffff];
          const nack = { type: 'nack', sender: 9, media: ssrc, sequences } as const;
          room.handleConsumerRtcp(VIEWERS[step.viewer]!, writeRtcp([nack]), now);
        }
        return;
      case 'join':
        room.addConsumer(VIEWERS[step.viewer]!, now);
        this.#contexts.set(VIEWERS[step.viewer]!, new Set());
        return;
      case 'rekey':
        room.consumerRekeyStarted(VIEWERS[step.viewer]!, step.served, now);
        return;
      case 'rekeyed':
        if (!this.#contexts.has(VIEWERS[step.viewer]!)) return;
        this.#contexts.set(VIEWERS[step.viewer]!, new Set());
        room.consumerKeyed(VIEWERS[step.viewer]!, now);
        return;
      case 'producer-rekeyed':
        room.producerRekeyed(now);
        for (const ahead of step.ahead) this.#retransmit(step.source, ahead);
        return;
      case 'wait':
        this.#now += step.span;
        room.handleTimeout(this.#now);
        return;
      case 'write':
        this.#write();
        return;
      case 'crash':
        this.#restart();
    }
  }

  /** The source's packet so far ahead of its newest one, as the original was or will be, whether it comes or not. */
  #retransmit(source: number, ahead: number): void {
    const { producer, ssrc } = SOURCES[source]!;
    const sequence = (this.#newest.get(ssrc) ?? 0) + ahead;
    if (sequence <= 0) return;
    const original = { sequence, timestamp: sequence * 300, keyframe: isKeyframe(sequence) };
    this.#room.handleProducerRtp(producer, retransmissionOf(original, this.#now, ssrc + 200), this.#now);
  }

  #write(): void {
    this.#written = this.#room.capture();
    this.#room.granted(this.#written);
  }

  #restart(): void {
    this.#lives++;
    this.#room = new Room({
      rng: seededRandom(this.#lives + 1),
      now: this.#now,
      wall: 1_800_000_000_000 + this.#now,
      state: this.#written,
    });
    for (const viewer of this.#contexts.keys()) this.#room.addConsumer(viewer, this.#now, { resumed: true });
    this.#write();
  }

  #drain(): void {
    for (let output = this.#room.pollOutput(); output !== undefined; output = this.#room.pollOutput()) {
      if (output.kind === 'reserve') this.#write();
      if (output.kind !== 'broadcast' && output.kind !== 'send') continue;
      const { ssrc, index, bytes } = output.media;
      const name = `${ssrc}/${index}`;
      const isRoomStream = this.#written.streams.some((stream) => stream.ssrc === ssrc);
      if (isRoomStream) {
        expect(this.#carried.get(name) ?? toHex(bytes)).toBe(toHex(bytes));
        this.#carried.set(name, toHex(bytes));
        this.#newestIndex = index;
      }
      const to = output.kind === 'send' ? [output.consumer] : [...this.#contexts.keys()];
      for (const viewer of to) {
        const context = this.#contexts.get(viewer);
        expect(context, `a packet for ${viewer}, who is not there`).toBeDefined();
        expect(context?.has(name), `${name} again for ${viewer}`).toBe(false);
        context?.add(name);
        this.delivered++;
      }
    }
  }
}

describe('an index of the room', () => {
  it('never carries two different packets, and never goes twice to one context, whatever happens', {
    timeout: 60_000,
  }, () => {
    let delivered = 0;
    fc.assert(
      fc.property(fc.array(action, { minLength: 40, maxLength: 250, size: 'max' }), (steps) => {
        const server = new Server();
        for (const step of steps) server.run(step);
        delivered += server.delivered;
      }),
      { numRuns: 150, seed: 7 },
    );
    expect(delivered).toBeGreaterThan(10_000);
  });
});
