import { RekeycastError } from '../errors.ts';
import type { Secret } from '../util/secret.ts';
import { ExternalKeys } from './external-keys.ts';
import type { KeySource } from './source.ts';

/**
 * Snapshot keys from wherever a program has them. `fetch` gives what SNAPSHOT_KEY_FILE would hold (docs/snapshot-keys.md): the 32
 * bytes of a key, or a key a line, primary first, in hex or base64; it is wiped when it has been read. `place` names it in messages, for people.
 *
 * What `fetch` throws reaches whoever starts the server; keys that are none are `KEY_INVALID`.
 */
export const fetchedKeys = (place: string, fetch: () => Promise<Secret>): KeySource =>
  new ExternalKeys({
    place,
    reaches: 'restart the program, which seals to it from then on',
    fetch,
    passphrase: () => {
      throw new RekeycastError(
        'KEY_SOURCE_FAILED',
        `${place} gives keys under a passphrase: give them open, since whoever fetches them can open them`,
      );
    },
  });
