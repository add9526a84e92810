import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import type { IceServer } from '../signaling/protocol.ts';
import type { WallMillis } from '../util/clock.ts';
import { readSecret } from '../util/setting.ts';

/** TURN servers for the page of a session, with credentials that are good from then on, for a while. */
export type RelaysFor = (session: string, wall: WallMillis) => readonly IceServer[];

/**
 * Credentials of the "REST API for access to TURN services" (draft-uberti-behave-turn-rest-00 §2.2), which coturn and others take: the name says
 * until when it is good, and the password is the HMAC of the name under what both servers know. It is SHA-1 that they take.
 *
 * Throws `CONFIG_INVALID` where the secret cannot be read.
 */
export function openTurn({ urls, secret: source, ttl }: NonNullable<Config['turn']>): RelaysFor {
  const secret = readSecret(source, (path) => readFileSync(path, 'utf8'));
  return (session, wall) => {
    const username = `${Math.floor((wall + ttl) / 1_000)}:${session}`;
    const credential = createHmac('sha1', secret.bytes).update(username).digest('base64');
    return [{ urls, username, credential }];
  };
}
