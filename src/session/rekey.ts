import type { Capabilities, PagePosition } from '../signaling/protocol.ts';
import type { Connection } from './connection.ts';

/** Why new keys are wanted. */
export type RekeyReason = 'resume' | 'interval' | 'order' | 'certificate' | 'stalled' | 'missed-deadline';

export type RekeyWay = 'in-place' | 'replacement';

/**
 * After a resume the stale keys have to die first: in place, where the browser can. Everything else is done without anybody noticing,
 * or is itself the sign that in place does not work: a second connection.
 */
export function planRekey(
  reason: RekeyReason,
  capabilities: Capabilities,
  connection: Connection | undefined,
  position: PagePosition | undefined,
): RekeyWay {
  const sameConnection = connection !== undefined && connection.number === position?.connection;
  return reason === 'resume' && capabilities.rekeyInPlace && sameConnection ? 'in-place' : 'replacement';
}

/**
 * The epoch of the next offer for a connection: higher than any before, and of the other parity than what the browser has applied,
 * since a browser starts a new DTLS association only when the fingerprint's digest changes.
 */
export function nextEpoch(offered: number, applied: number): number {
  const next = Math.max(offered, applied) + 1;
  return next % 2 === applied % 2 ? next + 1 : next;
}

/** The digest an epoch is offered with. */
export const digestOf = (epoch: number): 'sha-256' | 'sha-512' => (epoch % 2 === 0 ? 'sha-256' : 'sha-512');
