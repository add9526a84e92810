import type { Logger } from '../log.ts';
import type { SnapshotWrites } from '../observability/snapshot-writes.ts';
import type { IdentitySnapshot } from '../snapshot/schema.ts';
import type { SnapshotStore } from '../snapshot/store.ts';
import type { Millis } from '../util/clock.ts';
import type { Broadcast } from './broadcast.ts';
import { IdentityWriter } from './identity-writer.ts';
import { MediaWriter } from './media-writer.ts';
import { within } from './waiting.ts';

/** Where the snapshots of an engine go, and who is told of those that could not be written. */
export interface SnapshotTarget {
  readonly store: SnapshotStore;
  readonly writes: Pick<SnapshotWrites, 'failed'>;
  readonly log: Logger;
}

export function mediaWriter({ store, writes, log }: SnapshotTarget): MediaWriter {
  return new MediaWriter(store, (error) => {
    writes.failed('media');
    log.error(
      { event: 'media-not-written', err: error },
      'no media context is written any more: viewers would resume by re-key alone',
    );
  });
}

export function identityWriter({ store, writes, log }: SnapshotTarget, broadcast: Broadcast): IdentityWriter {
  return new IdentityWriter(
    () => store.writeIdentity(broadcast.captureIdentity()),
    (error) => {
      writes.failed('identity');
      log.error(
        { event: 'identity-not-written', err: error },
        'sessions that are new since the last write would not survive a crash',
      );
    },
  );
}

/** Writes everything, both generations of it, with this change. */
export async function writeAnew(
  store: SnapshotStore,
  broadcast: Broadcast,
  writer: MediaWriter | undefined,
  change: Partial<IdentitySnapshot> = {},
): Promise<void> {
  const media = writer?.writes ? broadcast.captureMedia() : undefined;
  await store.reseal({ ...broadcast.captureIdentity(), ...change }, media);
  if (media !== undefined) broadcast.granted(media);
}

/** The end of an engine's writes, which does not wait for a disk that hangs. */
export async function writeLast(identity: IdentityWriter, patience: Millis, log: Logger): Promise<void> {
  if (identity.isIdle || (await within(identity.flush(), patience))) return;
  log.error(
    { event: 'disk-hangs' },
    'the disk under STATE_DIR does not take the last identity, which is not waited for any longer: sessions that are new since the last write are lost',
  );
}
