import type { Config } from '../../config.ts';
import type { SnapshotFacts } from '../../observability/facts.ts';
import type { CertificateRecord } from '../../snapshot/schema.ts';
import type { StoreEvent } from '../../snapshot/store.ts';
import type { UdpTraffic } from '../../transport/socket.ts';
import type { Millis, WallMillis } from '../../util/clock.ts';
import type { HistogramCounts } from '../../util/histogram.ts';
import { Secret, wipe } from '../../util/secret.ts';
import type { BroadcastFacts } from '../broadcast-facts.ts';
import type { FromFollower, ToFollower } from './messages.ts';

/** What a worker is told of the settings: of the secrets in them it needs none. */
export type WorkerSettings = Pick<
  Config,
  | 'stateDir'
  | 'keysDir'
  | 'keyFile'
  | 'keyCommand'
  | 'keyTimeout'
  | 'passphraseFile'
  | 'staleKeyTtl'
  | 'mediaTtl'
  | 'sessionTtl'
  | 'rekeyInterval'
  | 'announced'
  | 'limits'
  | 'videoCodecs'
  | 'srtpProfiles'
  | 'sendPath'
>;

/** What a thread is made with. `worker` tells it from threads of others. */
export interface WorkerData {
  readonly worker: 'rekeycast';
  readonly number: number;
  readonly settings: WorkerSettings;
  /** How many messages with media it has taken: shared, and it alone counts. */
  readonly mediaTaken: Int32Array;
}

/** What the server asks of a worker, in this order; `facts` and what is behind it at any time. */
export interface Asks {
  /** Libraries and keys; nothing that a server beside this one would notice. */
  readonly load: { readonly with: { readonly runtimeDir: string | undefined }; readonly gives: undefined };
  /** Gives the port. */
  readonly bind: {
    readonly with: { readonly host: string; readonly port: number; readonly patient: boolean };
    readonly gives: number;
  };
  /** The identity is read; nothing has been lost where that fails. */
  readonly read: { readonly with: undefined; readonly gives: undefined };
  readonly resume: {
    readonly with: {
      readonly certificate: SharedCertificate;
      readonly instance: string;
      readonly keepsMedia: boolean;
    };
    readonly gives: { readonly sessions: readonly string[]; readonly contexts: number };
  };
  readonly facts: { readonly with: undefined; readonly gives: WorkerFacts };
  /** A sign of life. */
  readonly alive: { readonly with: undefined; readonly gives: undefined };
  /** Gives the key that is sealed to from now on. */
  readonly reseal: { readonly with: undefined; readonly gives: string };
  readonly certificate: { readonly with: SharedCertificate; readonly gives: undefined };
  /** New keys for everybody; answers when there are no others, or the time is over. */
  readonly renew: { readonly with: { readonly patience: Millis }; readonly gives: undefined };
  readonly settle: { readonly with: undefined; readonly gives: 'settled' | 'disk-hangs' };
  readonly release: {
    /** `onlyRenewed`: keys of before the last `renew` are in no snapshot. */
    readonly with: { readonly patience: Millis; readonly onlyRenewed: boolean };
    readonly gives: undefined;
  };
}

export type AskName = keyof Asks;

export type ToWorker =
  | ToFollower
  /** It is to end where it stands, and nothing that it has started is to outlive it. */
  | { readonly kind: 'leave' }
  | {
      readonly [Name in AskName]: {
        readonly kind: 'ask';
        readonly id: number;
        readonly ask: Name;
        readonly with: Asks[Name]['with'];
      };
    }[AskName];

export type FromWorker =
  | FromFollower
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  /** `code`: of a `RekeycastError`. */
  | {
      readonly kind: 'failure';
      readonly id: number;
      readonly code: string | undefined;
      readonly message: string;
    }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly event: object;
      readonly words: string | undefined;
    }
  | { readonly kind: 'stored'; readonly event: StoreEvent };

export interface WorkerFacts {
  readonly udpPort: number;
  readonly broadcast: BroadcastFacts;
  readonly drops: Readonly<Record<string, number>>;
  readonly traffic: UdpTraffic;
  readonly identity: SnapshotFacts;
  readonly media: SnapshotFacts | undefined;
  readonly eventLoopDelayMs: HistogramCounts;
}

/**
 * The certificate on its way to a worker. Its key crosses in memory that both threads see, which the one that takes it zeroes: a message would leave
 * copies.
 */
export interface SharedCertificate {
  readonly certificate: Uint8Array;
  readonly createdAt: WallMillis;
  readonly privateKey: SharedArrayBuffer;
}

export function shareCertificate({
  certificate,
  createdAt,
  privateKey,
}: CertificateRecord): SharedCertificate {
  const shared = new SharedArrayBuffer(privateKey.length);
  new Uint8Array(shared).set(privateKey.bytes);
  return { certificate, createdAt, privateKey: shared };
}

export function takeCertificate({
  certificate,
  createdAt,
  privateKey,
}: SharedCertificate): CertificateRecord {
  const bytes = new Uint8Array(privateKey);
  const taken = Secret.copy(bytes);
  wipe(bytes);
  return { certificate, createdAt, privateKey: taken };
}
