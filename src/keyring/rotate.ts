import { RekeycastError } from '../errors.ts';
import type { Keyring } from './keyring.ts';

/** The files that are sealed to a snapshot key, whoever has to write them. */
export interface SealedFiles {
  /** Seals all of them to the primary key. Those that are so already may stay. */
  reseal(): Promise<void>;
  /** Throws unless each of them is sealed to this key and opens with it. */
  verify(key: string): Promise<void>;
}

export interface Rotation {
  readonly primary: string;
  readonly destroyed: readonly string[];
  /** An earlier rotation, which had been cut off, was finished; no new key was made. */
  readonly finishedEarlier: boolean;
}

/**
 * Puts a new key in the place of the primary one:
 *
 *   1. add      a new key, unless one that never was primary is there
 *   2. promote  it: one write; from here on the server seals to it
 *   3. reseal   what is sealed to the old key
 *   4. verify   that all of it opens with the new key
 *   5. destroy  the old key: only now, so whatever is cut off before leaves both keys enabled
 *
 * Killed anywhere it is run again: what is done is not done twice. An enabled key that was primary before the present one is the mark of an
 * unfinished rotation, which is finished and not begun anew.
 */
export async function rotate(keyring: Keyring, files: SealedFiles): Promise<Rotation> {
  const finishedEarlier = formerKeys(keyring).length > 0;
  if (!finishedEarlier) {
    // Throws where nothing is primary: then there is nothing to rotate, and what is sealed waits for a key that is missing.
    keyring.primary();
    const prepared = keyring.list().findLast(({ state, promoted }) => state === 'enabled' && !promoted);
    await keyring.promote(prepared?.id ?? (await keyring.add()));
  }
  const primary = keyring.primary().id;
  await files.reseal();
  keyring.refresh();
  if (keyring.primary().id !== primary) {
    throw new RekeycastError(
      'KEY_INVALID',
      'another rotation is at work: its new key is primary. Nothing was destroyed; run the command again',
    );
  }
  await files.verify(primary);
  const destroyed: string[] = [];
  for (const id of formerKeys(keyring)) {
    await keyring.destroy(id);
    destroyed.push(id);
  }
  return { primary, destroyed, finishedEarlier };
}

/** Keys that were primary before and are still enabled. */
export const formerKeys = (keyring: Keyring): readonly string[] =>
  keyring
    .list()
    .filter(({ state, promoted }) => state === 'enabled' && promoted)
    .map(({ id }) => id);
