import { RekeycastError } from '../../errors.ts';
import { createTransform } from './create-transform.ts';
import { disposeMasterKey, type SrtpMasterKey, type SrtpProfile } from './profile.ts';
import { deriveSessionKeys } from './session-keys.ts';
import type { SrtpTransform } from './transform.ts';

/** The master key of one direction, with the transform of what is derived from it, until both are wiped. */
export class DirectionKeys {
  readonly profile: SrtpProfile;
  readonly master: SrtpMasterKey;
  #transform: SrtpTransform | undefined;
  #disposed = false;

  /** Takes ownership of the master key. */
  constructor(profile: SrtpProfile, master: SrtpMasterKey) {
    this.profile = profile;
    this.master = master;
  }

  /** Derived when it is needed first: a restart restores thousands of contexts before the first packet, which needs one. */
  get transform(): SrtpTransform {
    this.#transform ??= createTransform(this.profile, deriveSessionKeys(this.profile, this.master));
    return this.#transform;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  assertLive(): void {
    if (this.#disposed) throw new RekeycastError('SECRET_DISPOSED', 'this SRTP context has been disposed');
  }

  dispose(): void {
    this.#disposed = true;
    this.#transform?.dispose();
    disposeMasterKey(this.master);
  }
}
