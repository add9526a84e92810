import type { Config } from '../config.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../snapshot/schema.ts';
import { type Millis, monotonicNow, wallNow } from '../util/clock.ts';
import { secureRandom } from '../util/rng.ts';
import { Broadcast } from './broadcast.ts';
import type { BroadcastOptions } from './broadcast-io.ts';
import { dtlsIdentity } from './certificate.ts';
import type { IdentityWriter } from './identity-writer.ts';
import type { MediaWriter } from './media-writer.ts';
import { type QuickenOptions, quicken } from './quicken.ts';
import { IDENTITY_REFRESH_INTERVAL, MEDIA_WRITE_INTERVAL } from './rhythm.ts';

/** What each engine of a server has for itself. */
type OwnOptions = Pick<
  BroadcastOptions,
  'place' | 'certificate' | 'tokenKey' | 'instance' | 'candidates' | 'relaysFor' | 'maxSessionsPerOwner'
>;

type Settings = Pick<
  Config,
  'videoCodecs' | 'srtpProfiles' | 'staleKeyTtl' | 'sessionTtl' | 'rekeyInterval' | 'mediaTtl' | 'limits'
>;

/** An engine by the settings of the server, in whichever thread, on this machine's clocks and randomness. Without a `writer` no context is ever written. */
export function openEngine(
  settings: Settings,
  own: OwnOptions,
  writer: MediaWriter | undefined,
  restored: { identity: IdentitySnapshot; media: MediaSnapshot | undefined } | undefined,
): Broadcast {
  const { videoCodecs, srtpProfiles, staleKeyTtl, sessionTtl, rekeyInterval, mediaTtl, limits } = settings;
  const now = monotonicNow();
  return new Broadcast(
    {
      ...own,
      identity: dtlsIdentity(own.certificate),
      rng: secureRandom,
      videoCodecs,
      srtpProfiles,
      staleKeyTtl,
      sessionTtl,
      rekeyInterval,
      mediaTtl,
      maxSessions: limits.sessions,
      wallOffset: wallNow() - now,
      holdMedia: true,
      ...(writer === undefined ? {} : { persistMedia: (snapshot) => writer.write(snapshot) }),
    },
    now,
    restored,
  );
}

interface TendedEngine extends QuickenOptions {
  readonly identity: IdentityWriter;
  readonly every: (interval: Millis, work: () => void) => void;
}

/** What can wait until the first media has left: snapshots that are written again and again, and what makes media fast. */
export function tendEngine(engine: TendedEngine): void {
  const { broadcast, identity, log, every } = engine;
  identity.request();
  quicken(engine).catch((error: unknown) => log.error({ event: 'not-quickened', err: error }));
  every(MEDIA_WRITE_INTERVAL, () => {
    broadcast.adjustWall(wallNow() - monotonicNow());
    broadcast.refreshMedia(monotonicNow());
  });
  every(IDENTITY_REFRESH_INTERVAL, () => identity.request());
}
