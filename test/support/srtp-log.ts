import type { SrtpMasterKey, SrtpProfile } from '../../src/transport/srtp/profile.ts';
import { SrtpReceiveContext } from '../../src/transport/srtp/receive-context.ts';
import { SrtpSendContext } from '../../src/transport/srtp/send-context.ts';
import { toHex } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';

export interface LoggedKey {
  readonly profile: SrtpProfile;
  readonly master: SrtpMasterKey;
}

/**
 * What an omniscient observer notes while it watches: every key that anything was ever sent under, also those that one side never got to know,
 * and every protected packet that was accepted, on either side.
 */
export class SrtpLog {
  readonly keys: LoggedKey[] = [];
  /** How often each packet was accepted, by its bytes. */
  readonly accepted = new Map<string, number>();
  readonly #restore: () => void;

  constructor() {
    const { create } = SrtpSendContext;
    const { unprotectRtp, unprotectRtcp } = SrtpReceiveContext.prototype;
    const { keys } = this;
    const accept = (datagram: Uint8Array) => {
      const packet = toHex(datagram);
      this.accepted.set(packet, (this.accepted.get(packet) ?? 0) + 1);
    };
    SrtpSendContext.create = (profile, master, reserve) => {
      keys.push({
        profile,
        master: { key: Secret.copy(master.key.bytes), salt: Secret.copy(master.salt.bytes) },
      });
      return create(profile, master, reserve);
    };
    SrtpReceiveContext.prototype.unprotectRtp = function (this: SrtpReceiveContext, datagram) {
      const result = unprotectRtp.call(this, datagram);
      if (result !== undefined) accept(datagram);
      return result;
    };
    SrtpReceiveContext.prototype.unprotectRtcp = function (this: SrtpReceiveContext, datagram) {
      const result = unprotectRtcp.call(this, datagram);
      if (result !== undefined) accept(datagram);
      return result;
    };
    this.#restore = () => {
      SrtpSendContext.create = create;
      Object.assign(SrtpReceiveContext.prototype, { unprotectRtp, unprotectRtcp });
    };
  }

  /** Stops watching. */
  stop(): void {
    this.#restore();
  }
}
