import { beforeAll, describe, expect, it } from 'vitest';
import { losing, ONE_WAY_MS, rough, run, type Sender } from '../support/dtls-network.ts';
import {
  expectConnected,
  type Identities,
  makeIdentities,
  makePair,
  type PairOptions,
} from '../support/dtls-pair.ts';

let identities: Identities;
beforeAll(async () => {
  identities = await makeIdentities();
});

const SEEDS = Array.from({ length: 60 }, (_, seed) => seed + 1);

/** Every message in datagrams of its own, both ways, and a cookie: as many places for a loss as there are. */
const spread = (): PairOptions => ({
  knobs: { cookie: true, fragmentBytes: 200 },
  options: { identity: identities.long },
});

describe('a single loss', () => {
  it.each(['client', 'server'] as const)('of any datagram of the %s is repaired', (sender: Sender) => {
    const undisturbed = makePair(identities, spread());
    const count = run(undisturbed.client, undisturbed.server).sent[sender].length;
    expect(count).toBeGreaterThan(3);
    for (let index = 0; index < count; index++) {
      const pair = makePair(identities, spread());
      const outcome = run(pair.client, pair.server, losing(sender, index));
      expectConnected(pair, outcome);
      // One retransmission timer and the round trips: never a second backoff.
      expect(outcome.connectedAt).toBeLessThanOrEqual(300);
    }
  });

  it('of the ChangeCipherSpec alone does not hold the Finished up', () => {
    const pair = makePair(identities, { knobs: { fragmentBytes: 2000 } });
    // ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone, then ChangeCipherSpec.
    const outcome = run(pair.client, pair.server, losing('server', 5));
    expectConnected(pair, outcome);
    expect(outcome.connectedAt).toBe(4 * ONE_WAY_MS);
  });
});

describe('a rough network', () => {
  it.each(SEEDS)('is survived with seed %i', (seed) => {
    const pair = makePair(identities, { seed });
    expectConnected(pair, run(pair.client, pair.server, rough(seed)));
  });

  it.each(SEEDS)('is survived by a flight in many pieces with seed %i', (seed) => {
    const pair = makePair(identities, { seed, ...spread() });
    expectConnected(pair, run(pair.client, pair.server, rough(seed, 0.15)));
  });

  it.each(SEEDS)('is survived by a repeated hello with seed %i', (seed) => {
    const pair = makePair(identities, { seed, options: { helloInterval: 20 } });
    expectConnected(pair, run(pair.client, pair.server, rough(seed)));
  });

  it('that carries nothing ends in a timeout', () => {
    const { client, server } = makePair(identities);
    expect(run(client, server, rough(1, 1)).failed).toBe('timeout');
  });

  it('that delivers everything twice and backwards changes nothing', () => {
    const pair = makePair(identities, { knobs: { fragmentBytes: 50 } });
    const outcome = run(pair.client, pair.server, (_, index) => [100 - index, 150 - index]);
    expectConnected(pair, outcome);
  });
});
