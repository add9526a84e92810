import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTurn } from '../../src/server/turn.ts';
import { Secret } from '../../src/util/secret.ts';
import { TurnServer } from '../support/turn-server.ts';

const SECRET = 'north-north-north-north';
const TTL = 60_000;

let coturn: TurnServer;
beforeAll(async () => {
  coturn = await TurnServer.start(SECRET);
});
afterAll(() => coturn.stop());

function serves(secret: string, wall: number): boolean {
  const value = Secret.copy(Buffer.from(secret));
  const relays = openTurn({ urls: [coturn.url], secret: { name: 'TURN_SECRET', value }, ttl: TTL });
  const { username, credential } = relays('0123456789abcdef', wall)[0]!;
  return coturn.serves(username, credential);
}

describe('coturn', { timeout: 300_000 }, () => {
  it('relays for who has our credentials', () => {
    expect(serves(SECRET, Date.now())).toBe(true);
  });

  it('does not when they have expired', () => {
    expect(serves(SECRET, Date.now() - TTL - 5_000)).toBe(false);
  });

  it('does not when they were made with another secret', () => {
    expect(serves('south-south-south-south', Date.now())).toBe(false);
  });
});
