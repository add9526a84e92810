import type { IdentitySnapshot, SnapshotStore } from '../../src/index.ts';

/** A store that keeps identities in memory, the newest last, and does `faulty` in place of its own. */
export function memoryStore(
  faulty: Partial<SnapshotStore> = {},
  kept: IdentitySnapshot[] = [],
): { readonly store: SnapshotStore; readonly kept: IdentitySnapshot[] } {
  const store: SnapshotStore = {
    keepsMedia: false,
    readIdentity: async () => kept.at(-1),
    writeIdentity: async (snapshot) => void kept.push(snapshot),
    takeMedia: async () => undefined,
    writeMedia: () => {},
    dropMedia: () => {},
    reseal: async (identity) => void kept.push(identity),
    ...faulty,
  };
  return { store, kept };
}
