import type { DtlsClient, DtlsFailure } from '../../src/transport/dtls/client.ts';
import type { DtlsSrtpKeys } from '../../src/transport/srtp/profile.ts';
import { earliest, type Millis } from '../../src/util/clock.ts';
import type { DtlsTestServer } from './dtls-server.ts';
import { seededNumbers } from './seeded-rng.ts';

export type Sender = 'client' | 'server';

/** After which delays copies of a sender's n-th datagram arrive: none is a loss, two a duplicate. */
export type Network = (sender: Sender, index: number) => readonly Millis[];

export interface Outcome {
  keys: DtlsSrtpKeys | undefined;
  keysAt: Millis | undefined;
  connectedAt: Millis | undefined;
  failed: DtlsFailure | undefined;
  endedAt: Millis;
  /** In the order sent. */
  readonly sent: Record<Sender, Uint8Array[]>;
  /** Kinds of the client's outputs, in order. */
  readonly outputs: string[];
}

/** Half a round trip of the networks below. */
export const ONE_WAY_MS = 10;

const perfect: Network = () => [ONE_WAY_MS];

/** Loses these datagrams, the first of each sender having index 0. */
export const losing =
  (sender: Sender, ...indices: readonly number[]): Network =>
  (from, index) =>
    from === sender && indices.includes(index) ? [] : [ONE_WAY_MS];

/** Loses, duplicates and reorders at random, from a seed. */
export function rough(seed: number, lossRate = 0.25): Network {
  const next = seededNumbers(seed);
  return () => {
    if (next() < lossRate) return [];
    const delay = ONE_WAY_MS + next() * 40;
    return next() < 0.2 ? [delay, ONE_WAY_MS + next() * 80] : [delay];
  };
}

/** The server's side, or what stands before it. */
export type ServerSide = Pick<
  DtlsTestServer,
  'handleDatagram' | 'handleTimeout' | 'nextTimeout' | 'pollDatagram'
>;

/** Runs both on virtual time until the client has ended and the server is satisfied, or until `until`. */
export function run(
  client: DtlsClient,
  server: ServerSide,
  network: Network = perfect,
  until: Millis = 60_000,
): Outcome {
  const outcome: Outcome = {
    keys: undefined,
    keysAt: undefined,
    connectedAt: undefined,
    failed: undefined,
    endedAt: 0,
    sent: { client: [], server: [] },
    outputs: [],
  };
  const inFlight: { readonly to: Sender; readonly at: Millis; readonly datagram: Uint8Array }[] = [];
  let now: Millis = 0;

  const send = (from: Sender, datagram: Uint8Array): void => {
    const index = outcome.sent[from].push(datagram) - 1;
    const to = from === 'client' ? 'server' : 'client';
    for (const delay of network(from, index)) inFlight.push({ to, at: now + delay, datagram });
  };
  const drain = (): void => {
    for (let output = client.pollOutput(); output !== undefined; output = client.pollOutput()) {
      outcome.outputs.push(output.kind);
      if (output.kind === 'transmit') send('client', output.datagram);
      else if (output.kind === 'keys') [outcome.keys, outcome.keysAt] = [output.keys, now];
      else if (output.kind === 'connected') outcome.connectedAt = now;
      else outcome.failed = output.reason;
    }
    for (let sent = server.pollDatagram(); sent !== undefined; sent = server.pollDatagram()) {
      send('server', sent);
    }
  };

  drain();
  for (;;) {
    const arrival = inFlight.length > 0 ? Math.min(...inFlight.map(({ at }) => at)) : undefined;
    const at = earliest(arrival, client.nextTimeout(), server.nextTimeout());
    if (at === undefined || at > until) break;
    now = at;
    const next = inFlight.findIndex((entry) => entry.at === now);
    if (next >= 0) {
      const [{ to, datagram }] = inFlight.splice(next, 1) as [(typeof inFlight)[number]];
      // As a socket hands it over: a Buffer, whose memory is soon used for something else.
      const buffer = Buffer.from(datagram);
      if (to === 'client') client.handleDatagram(buffer, now);
      else server.handleDatagram(datagram, now);
      buffer.fill(0xee);
    } else {
      client.handleTimeout(now);
      server.handleTimeout(now);
    }
    drain();
  }
  outcome.endedAt = now;
  return outcome;
}
