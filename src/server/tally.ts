import type { ServerFacts } from '../observability/facts.ts';
import type { Millis } from '../util/clock.ts';
import { Counters } from '../util/counters.ts';
import { Histogram } from '../util/histogram.ts';
import type { BroadcastEvent } from './broadcast-io.ts';

const WAYS = ['first', 'in-place', 'replacement'] as const;
type Way = (typeof WAYS)[number];

const DURATION_MS = [5, 10, 25, 50, 100, 150, 200, 300, 500, 1_000, 2_500, 5_000, 15_000];
const ROUND_TRIPS = [1, 1.25, 1.5, 2, 2.5, 3, 4, 6, 10, 20];
/** Less cannot be told from the time that the two machines take themselves. */
const SHORTEST_ROUND_TRIP: Millis = 1;

/** What the events of a run come to: counts and durations, as plain data. */
export class Tally {
  readonly #opened = new Counters<string>();
  readonly #resumed = new Counters<string>();
  readonly #closed = new Counters<string>();
  readonly #others = new Counters<BroadcastEvent['event']>();
  readonly #started = new Counters<string>();
  readonly #keysDestroyed = new Counters<string>();
  readonly #handshakeFailures = new Counters<string>();
  readonly #staleKeys = new Histogram(DURATION_MS);
  readonly #durations = byWay(DURATION_MS);
  readonly #roundTrips = byWay(ROUND_TRIPS);
  /** Re-keys under way, by connection. */
  readonly #ways = new Map<string, Way>();
  /** Those that are done, and whose round trip is not known yet. */
  readonly #unmeasured = new Map<string, { readonly way: Way; readonly took: Millis }>();

  note(event: BroadcastEvent): void {
    switch (event.event) {
      case 'session-opened':
        this.#opened.add(event.role);
        break;
      case 'session-resumed':
        this.#resumed.add(event.role);
        break;
      case 'session-closed':
        this.#closed.add(event.role);
        break;
      case 'rekey-started': {
        const way = event.way === 'rekey' ? 'in-place' : 'replacement';
        this.#started.add(`${event.reason} ${way}`);
        this.#ways.set(event.connection, way);
        break;
      }
      case 'keyed':
        if (event.sinceOfferMs !== undefined) this.#keyed(event.connection, event.sinceOfferMs);
        break;
      case 'stale-keys-destroyed':
        this.#keysDestroyed.add(event.by);
        if (event.sinceOfferMs !== undefined) this.#staleKeys.observe(event.sinceOfferMs);
        break;
      case 'handshake-failed':
        this.#handshakeFailures.add(event.reason);
        this.forget(event.connection);
        break;
      default:
        this.#others.add(event.event);
    }
  }

  /** A round trip of the connection was measured. */
  measured(connection: string, roundTrip: Millis): void {
    const done = this.#unmeasured.get(connection);
    if (done === undefined) return;
    this.#unmeasured.delete(connection);
    this.#roundTrips[done.way].observe(done.took / Math.max(SHORTEST_ROUND_TRIP, roundTrip));
  }

  /** The connection is closed. */
  forget(connection: string): void {
    this.#ways.delete(connection);
    this.#unmeasured.delete(connection);
  }

  get sessions(): Pick<
    ServerFacts['sessions'],
    'opened' | 'resumed' | 'closed' | 'tokensRefused' | 'consentLost'
  > {
    return {
      opened: this.#opened.toJSON(),
      resumed: this.#resumed.toJSON(),
      closed: this.#closed.toJSON(),
      tokensRefused: this.#others.get('token-refused'),
      consentLost: this.#others.get('consent-lost'),
    };
  }

  get rekeys(): ServerFacts['rekeys'] {
    return {
      started: this.#started.toJSON(),
      durationMs: captureEach(this.#durations),
      roundTrips: captureEach(this.#roundTrips),
      keysDestroyed: this.#keysDestroyed.toJSON(),
      staleKeysMs: this.#staleKeys.capture(),
      handshakeFailures: this.#handshakeFailures.toJSON(),
    };
  }

  get protectFailed(): number {
    return this.#others.get('protect-failed');
  }

  #keyed(connection: string, took: Millis): void {
    const way = this.#ways.get(connection) ?? 'first';
    this.#ways.delete(connection);
    this.#durations[way].observe(took);
    this.#unmeasured.set(connection, { way, took });
  }
}

const byWay = (bounds: readonly number[]): Readonly<Record<Way, Histogram>> => ({
  first: new Histogram(bounds),
  'in-place': new Histogram(bounds),
  replacement: new Histogram(bounds),
});

const captureEach = (histograms: Readonly<Record<Way, Histogram>>) =>
  Object.fromEntries(WAYS.map((way) => [way, histograms[way].capture()]));
