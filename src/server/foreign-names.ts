import type { IncomingMessage } from 'node:http';
import type { Logger } from '../log.ts';
import type { Refusal } from '../signaling/refusal.ts';
import type { Visit } from '../signaling/visit.ts';

/** An operator who uses a name that is not set has to find it in the log; a stranger must not fill the log with names. */
const MAX_NAMES_LOGGED = 16;

/** Whoever asks under a name that is not ours is a page of somebody else, or an operator who has not said so. */
export class ForeignNames {
  readonly #log: Logger;
  readonly #logged = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  note({ reason }: Refusal, { headers }: IncomingMessage, { host = '' }: Visit): void {
    if (reason !== 'unknown-host' && reason !== 'other-origin') return;
    const name = (reason === 'unknown-host' ? host : (headers.origin ?? '')).slice(0, 100);
    if (this.#logged.has(name) || this.#logged.size >= MAX_NAMES_LOGGED) return;
    this.#logged.add(name);
    this.#log.warn({ event: reason, name }, 'refused; if it is yours, name it in PUBLIC_ORIGIN');
  }
}
