import { AeadTransform } from './aead-transform.ts';
import { CounterModeTransform } from './counter-mode-transform.ts';
import type { SrtpProfile } from './profile.ts';
import type { SessionKeys } from './session-keys.ts';
import type { SrtpTransform } from './transform.ts';

/** Takes ownership of the keys. */
export function createTransform(profile: SrtpProfile, keys: SessionKeys): SrtpTransform {
  return profile === 'AES_CM_128_HMAC_SHA1_80'
    ? new CounterModeTransform(keys)
    : new AeadTransform(profile, keys);
}
