import type { AuditEvent, AuditEventName } from '../observability/audit.ts';
import type { StoreEvent } from '../snapshot/store.ts';
import { Budget } from '../util/budget.ts';
import { type Millis, monotonicNow } from '../util/clock.ts';
import type { BroadcastEvent } from './broadcast-io.ts';

/** A mass resume of a full server, and then as much as visitors may write on a disk for as long as they like. */
const VISITORS_BURST = 10_000;
const VISITORS_PER_SECOND = 20;

/** What of the server's events is audited. What visitors bring about has its bounds: nobody fills a disk by coming and going. */
export class AuditTrail {
  readonly #record: (event: AuditEvent) => void;
  readonly #now: () => Millis;
  readonly #budget = new Budget(VISITORS_BURST, VISITORS_PER_SECOND);
  #suppressed = 0;

  constructor(record: (event: AuditEvent) => void, now: () => Millis = monotonicNow) {
    this.#record = record;
    this.#now = now;
  }

  /** Something that the operator or the server itself has done. */
  note(event: AuditEventName, facts: Omit<AuditEvent, 'event' | 'by'> = {}): void {
    this.#record({ event, by: 'server', ...facts });
  }

  handle(event: BroadcastEvent): void {
    const audited = auditOf(event);
    if (audited === undefined) return;
    if (audited.event === 'certificate-replaced') this.#record(audited);
    else if (!this.#budget.take(this.#now())) this.#suppressed++;
    else {
      if (this.#suppressed > 0) this.note('audit-suppressed', { count: this.#suppressed });
      this.#suppressed = 0;
      this.#record(audited);
    }
  }
}

/** What somebody has to find again who asks whether files were tampered with, or why viewers had to begin anew. */
export function auditOfStore({
  event,
  message,
}: StoreEvent): { readonly event: AuditEventName; readonly message: string } | undefined {
  switch (event) {
    case 'snapshot-refused':
    case 'anchor-refused':
    case 'identity-damaged':
    case 'identity-lost':
    case 'media-unusable':
    case 'media-expired':
      return { event, message };
    default:
      return undefined;
  }
}

function auditOf(event: BroadcastEvent): AuditEvent | undefined {
  const by = 'server';
  switch (event.event) {
    case 'session-resumed':
      return { event: event.event, by, session: event.session, role: event.role };
    case 'token-refused':
      return { event: event.event, by };
    case 'rekey-started': {
      const { connection, epoch, reason, way } = event;
      return { event: event.event, by, connection, epoch, reason, way };
    }
    case 'keyed':
      return { event: event.event, by, connection: event.connection, epoch: event.epoch };
    case 'stale-keys-destroyed':
      return { event: event.event, by, connection: event.connection, cause: event.by };
    case 'handshake-failed':
      return { event: event.event, by, connection: event.connection, reason: event.reason };
    case 'certificate-replaced':
      return { event: event.event, by, sha256: event.sha256, before: event.before };
    default:
      return undefined;
  }
}
