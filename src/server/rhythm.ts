import type { Millis } from '../util/clock.ts';

/** How often index limits are raised ahead of use; a crash skips at most what was reserved in two of these. */
export const MEDIA_WRITE_INTERVAL: Millis = 200;
/** How often the durable snapshot learns how far the room's numbering has come. */
export const IDENTITY_REFRESH_INTERVAL: Millis = 10_000;
/** Where something changes all the time, no write of the identity is the last one: from then on nothing may change any more. */
export const FLUSH_PATIENCE_MS = 500;
/** A disk that takes nothing for so long hangs: nobody who ends, or is to hand over, waits for it any longer. */
export const DISK_PATIENCE_MS = 5_000;
/** Longer than a page takes to bring up a connection beside the one it has; who has taken longer resumes by re-key. */
export const FRESH_PATIENCE: Millis = 10_000;
export const FRESH_CHECK_INTERVAL: Millis = 10;
