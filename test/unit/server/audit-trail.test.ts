import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../../src/observability/audit.ts';
import { AuditTrail, auditOfStore } from '../../../src/server/audit-trail.ts';
import type { BroadcastEvent } from '../../../src/server/broadcast-io.ts';
import type { StoreEvent } from '../../../src/snapshot/store.ts';

const connection = '00112233aabbccdd/1';

const AUDITED: readonly (readonly [BroadcastEvent, Partial<AuditEvent>])[] = [
  [
    { event: 'session-resumed', session: 'aa', role: 'viewer' },
    { session: 'aa', role: 'viewer' },
  ],
  [{ event: 'token-refused' }, {}],
  [
    { event: 'rekey-started', connection, epoch: 2, reason: 'resume', way: 'rekey' },
    { connection, epoch: 2, reason: 'resume', way: 'rekey' },
  ],
  [
    { event: 'keyed', connection, epoch: 2, sinceOfferMs: 3 },
    { connection, epoch: 2 },
  ],
  [
    { event: 'stale-keys-destroyed', connection, by: 'flight', sinceOfferMs: 3 },
    { connection, cause: 'flight' },
  ],
  [
    { event: 'handshake-failed', connection, reason: 'alert' },
    { connection, reason: 'alert' },
  ],
  [
    { event: 'certificate-replaced', sha256: 'aa', before: 'bb' },
    { sha256: 'aa', before: 'bb' },
  ],
];

function trail(now = () => 0): { readonly lines: AuditEvent[]; readonly trail: AuditTrail } {
  const lines: AuditEvent[] = [];
  return { lines, trail: new AuditTrail((event) => lines.push(event), now) };
}

describe('of the events of a server', () => {
  it.each(AUDITED)('%j is audited', (event, facts) => {
    const { lines, trail: of } = trail();
    of.handle(event);
    expect(lines).toEqual([{ event: event.event, by: 'server', ...facts }]);
  });

  it.each<BroadcastEvent>([
    { event: 'session-opened', session: 'aa', role: 'viewer' },
    { event: 'session-closed', session: 'aa', role: 'viewer' },
    { event: 'consent-lost', connection },
    { event: 'first-media-forwarded' },
  ])('%j is not: no key is in it', (event) => {
    const { lines, trail: of } = trail();
    of.handle(event);
    expect(lines).toEqual([]);
  });

  it('those that visitors bring about fill no disk, and how many were left out is said', () => {
    let now = 0;
    const { lines, trail: of } = trail(() => now);
    for (let i = 0; i < 12_000; i++) of.handle({ event: 'token-refused' });
    expect(lines).toHaveLength(10_000);
    now = 1_000;
    of.handle({ event: 'token-refused' });
    expect(lines.slice(10_000)).toEqual([
      { event: 'audit-suppressed', by: 'server', count: 2_000 },
      { event: 'token-refused', by: 'server' },
    ]);
  });

  it('what the operator does is audited all the same', () => {
    const { lines, trail: of } = trail();
    for (let i = 0; i < 12_000; i++) of.handle({ event: 'token-refused' });
    of.note('rekey-ordered', { sessions: 3 });
    of.handle({ event: 'certificate-replaced', sha256: 'aa', before: 'bb' });
    expect(lines.slice(10_000)).toEqual([
      { event: 'rekey-ordered', by: 'server', sessions: 3 },
      { event: 'certificate-replaced', by: 'server', sha256: 'aa', before: 'bb' },
    ]);
  });
});

describe('of what the store finds', () => {
  it.each<StoreEvent['event']>([
    'snapshot-refused',
    'anchor-refused',
    'identity-damaged',
    'identity-lost',
    'media-unusable',
    'media-expired',
  ])('%s is audited', (event) => {
    expect(auditOfStore({ level: 'warn', event, message: 'why' })).toEqual({ event, message: 'why' });
  });

  it.each<StoreEvent['event']>(['state-created', 'strict', 'media-leftover-removed'])(
    '%s is not',
    (event) => {
      expect(auditOfStore({ level: 'warn', event, message: 'why' })).toBeUndefined();
    },
  );
});
