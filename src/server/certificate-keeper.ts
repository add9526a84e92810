import type { CertificateRecord } from '../snapshot/schema.ts';
import { fingerprintOf } from '../transport/dtls/fingerprint.ts';
import { toHex } from '../util/bytes.ts';
import { type Millis, type WallMillis, wallNow } from '../util/clock.ts';
import { secureRandom } from '../util/rng.ts';
import { createCertificate, isOutdated } from './certificate.ts';

export interface CertificateKeeperOptions {
  readonly current: () => CertificateRecord;
  /** Puts this one in the place of the current one, or rejects: {@link current} says then which of them is in use. */
  readonly replace: (certificate: CertificateRecord) => Promise<void>;
  readonly create?: (now: WallMillis) => Promise<CertificateRecord>;
  readonly now?: () => WallMillis;
}

/** Replaces the server's certificate by age and by order, one at a time. */
export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  #running: Promise<CertificateRecord> | undefined;

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
  }

  /** Replaces a certificate that is as old as it may get. Rejects where that fails; the next call tries again. */
  async check(maxAge: Millis): Promise<void> {
    const { current, now = wallNow } = this.#options;
    if (isOutdated(current(), maxAge, now())) await this.replace();
  }

  /** Gives the new one, which is the server's. Orders that come while one is carried out are the same. */
  replace(): Promise<CertificateRecord> {
    this.#running ??= this.#replace().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #replace(): Promise<CertificateRecord> {
    const {
      create = (at) => createCertificate(secureRandom, at),
      current,
      replace,
      now = wallNow,
    } = this.#options;
    const certificate = await create(now());
    try {
      await replace(certificate);
      return certificate;
    } catch (cause) {
      // What has failed may be what comes behind the replacing: then it is in use.
      if (current() !== certificate) certificate.privateKey.dispose();
      throw cause;
    }
  }
}

/** For operators: what every visitor gets to see of it. */
export function describeCertificate({ certificate, createdAt }: CertificateRecord): {
  readonly sha256: string;
  readonly createdAt: string;
} {
  return {
    sha256: toHex(fingerprintOf(certificate, 'sha-256').digest),
    createdAt: new Date(createdAt).toISOString(),
  };
}
