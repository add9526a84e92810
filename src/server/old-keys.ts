import type { Logger } from '../log.ts';
import { collectSoon } from '../util/collect.ts';
import type { BroadcastEvent } from './broadcast-io.ts';

/** After what has wiped keys, the copies that the collector holds go soon. */
export function collectOldKeys({ event }: BroadcastEvent, log: Logger): void {
  if (event === 'stale-keys-destroyed' || event === 'keyed')
    collectSoon(() => log.debug({ event: 'old-keys-collected' }));
}
