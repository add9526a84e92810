import { readFileSync } from 'node:fs';
import type { Config } from '../config.ts';
import { messageOf, RekeycastError } from '../errors.ts';
import { AccessKeys } from '../signaling/access-keys.ts';
import { Access } from '../signaling/admission.ts';
import { readSecret, type SecretSource } from '../util/setting.ts';

const read = (path: string): string => readFileSync(path, 'utf8');

/** Reads what says who may come in. Throws `CONFIG_INVALID` where a file cannot be read or is of no use. */
export function openAccess(config: Config['access']): Access {
  const { publishToken, viewToken, publicKeyFile, audience, issuer } = config;
  return new Access({
    publishToken: secretFrom(publishToken),
    viewToken: secretFrom(viewToken),
    keys: publicKeyFile === undefined ? undefined : keysFrom(publicKeyFile, { audience, issuer }),
  });
}

const secretFrom = (source: SecretSource | undefined) =>
  source === undefined ? undefined : readSecret(source, read);

function keysFrom(path: string, expected: { audience: string; issuer: string | undefined }): AccessKeys {
  try {
    return AccessKeys.parse(read(path), expected);
  } catch (cause) {
    const words = `AUTH_PUBLIC_KEY is ${JSON.stringify(path)}, which is of no use: ${messageOf(cause)}`;
    throw new RekeycastError('CONFIG_INVALID', words, { cause });
  }
}
