import { networkInterfaces } from 'node:os';
import * as z from 'zod/mini';
import { RekeycastError } from './errors.ts';
import type { VideoCodec } from './signaling/sdp.ts';
import type { Address } from './transport/address.ts';
import { SRTP_PROFILES, type SrtpProfile } from './transport/srtp/profile.ts';
import type { Millis } from './util/clock.ts';

/** Everything the server is told, read once. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly udpPort: number;
  readonly stateDir: string;
  readonly keysDir: string;
  readonly runtimeDir: string | undefined;
  /** `auto`: SRTP contexts are kept in memory-backed storage where there is any. `strict`: they are written nowhere. */
  readonly resume: 'auto' | 'strict';
  /** How long resumed keys are used at most. */
  readonly staleKeyTtl: Millis;
  /** How long a written media snapshot may be resumed. */
  readonly mediaTtl: Millis;
  /** How long a session is kept without its page. */
  readonly sessionTtl: Millis;
  readonly rekeyInterval: Millis | undefined;
  readonly announced: { readonly address: string | undefined; readonly port: number | undefined };
  readonly videoCodecs: readonly VideoCodec[];
  readonly srtpProfiles: readonly SrtpProfile[];
  readonly logLevel: string;
}

/** A port from `lowest` up. Plain digits: what else JavaScript takes for a number is a slip of the hand. */
const port = (lowest: 0 | 1) => {
  const words = `a port, ${lowest} to 65535`;
  const range = z.number().check(z.minimum(lowest, words), z.maximum(65_535, words));
  const digits = z.string().check(z.regex(/^\d{1,5}$/, words));
  return z.pipe(z.pipe(digits, z.transform(Number)), range);
};
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const duration = z.pipe(
  z.string().check(z.regex(/^\d{1,9}(ms|s|m|h)$/, 'a duration such as 500ms, 5s, 10m or 1h')),
  z.transform((text: string): Millis => Number.parseInt(text, 10) * UNITS[text.replace(/^\d+/, '')]!),
);
const oneOf = <const Name extends string>(names: readonly [Name, ...Name[]]) =>
  z.enum(names, `one of ${names.join(', ')}`);
const listOf = <Name extends string>(names: readonly [Name, ...Name[]]) =>
  z.pipe(
    z.pipe(
      z.string(),
      z.transform((text: string) => text.split(',').map((part) => part.trim())),
    ),
    z.array(z.enum(names, `a list of ${names.join(', ')}`)),
  );
/** Names are not resolved: offers and the UDP socket take addresses only. */
const boundHost = z.pipe(
  z.union([z.ipv4(), z.ipv6(), z.literal('localhost')], 'an IP address of this machine, or localhost'),
  z.transform((host: string) => (host === 'localhost' ? '127.0.0.1' : host)),
);

const PROFILE_NAMES = Object.keys(SRTP_PROFILES) as [SrtpProfile, ...SrtpProfile[]];

const environment = z.object({
  HOST: z._default(boundHost, '0.0.0.0'),
  PORT: z._default(port(0), 8080),
  UDP_PORT: z.optional(port(0)),
  STATE_DIR: z._default(z.string(), 'state'),
  KEYS_DIR: z._default(z.string(), 'keys'),
  RUNTIME_DIR: z.optional(z.string()),
  RESUME: z._default(oneOf(['auto', 'strict']), 'auto'),
  STALE_KEY_TTL: z._default(duration, 5_000),
  MEDIA_TTL: z._default(duration, 30_000),
  SESSION_TTL: z._default(duration, 600_000),
  REKEY_INTERVAL: z.optional(duration),
  ANNOUNCED_ADDRESS: z.optional(z.union([z.ipv4(), z.ipv6()], 'an IP address')),
  ANNOUNCED_PORT: z.optional(port(1)),
  VIDEO_CODECS: z._default(listOf(['VP8', 'H264']), ['VP8', 'H264']),
  SRTP_PROFILES: z._default(listOf(PROFILE_NAMES), PROFILE_NAMES),
  LOG_LEVEL: z._default(oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']), 'info'),
});

/** Reads the environment. Throws `CONFIG_INVALID` naming the variable, what it is and what it takes. An empty variable counts as unset. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const result = environment.safeParse(set);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      return `${name} is ${JSON.stringify(set[name])}, which is not ${issue.message}`;
    });
    throw new RekeycastError('CONFIG_INVALID', [...new Set(problems)].join('; '));
  }
  const values = result.data;
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    udpPort: values.UDP_PORT ?? values.PORT,
    stateDir: values.STATE_DIR,
    keysDir: values.KEYS_DIR,
    runtimeDir: values.RUNTIME_DIR,
    resume: values.RESUME,
    staleKeyTtl: values.STALE_KEY_TTL,
    mediaTtl: values.MEDIA_TTL,
    sessionTtl: values.SESSION_TTL,
    rekeyInterval: values.REKEY_INTERVAL,
    announced: { address: values.ANNOUNCED_ADDRESS, port: values.ANNOUNCED_PORT },
    videoCodecs: values.VIDEO_CODECS,
    srtpProfiles: values.SRTP_PROFILES,
    logLevel: values.LOG_LEVEL,
  });
}

/**
 * The addresses that go into offers: the announced one, or the one the server is bound to, or, bound to all, every address of this
 * machine, loopback last (a page on this machine has nothing better).
 */
export function candidateAddresses(config: Config, boundPort: number): readonly Address[] {
  const port = config.announced.port ?? boundPort;
  if (config.announced.address !== undefined) return [{ ip: config.announced.address, port }];
  const any = config.host === '0.0.0.0' || config.host === '::';
  if (!any) return [{ ip: config.host, port }];
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(
      ({ family, address }) => family === 'IPv4' || (config.host === '::' && !address.startsWith('fe80:')),
    )
    .sort((a, b) => Number(a.internal) - Number(b.internal))
    .map(({ address }) => ({ ip: address, port }));
}
