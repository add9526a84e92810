import { expect, it } from 'vitest';
import { SnapshotWrites } from '../../../src/observability/snapshot-writes.ts';

it('tells how old and large each snapshot is, how long it took, and what failed', () => {
  let now = 1_000;
  const writes = new SnapshotWrites(() => now);
  expect(writes.capture('media')).toMatchObject({ bytes: 0, failures: 0 });
  expect(writes.capture('media').writtenAt).toBeUndefined();
  writes.written('media', 500, 2);
  now = 2_000;
  writes.written('media', 700, 4);
  writes.failed('identity');
  expect(writes.capture('media')).toMatchObject({ writtenAt: 2_000, bytes: 700, failures: 0 });
  expect(writes.capture('media').writeMs.sum).toBe(6);
  expect(writes.capture('identity')).toMatchObject({ bytes: 0, failures: 1 });
});
