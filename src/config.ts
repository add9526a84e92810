import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type * as z from 'zod/mini';
import { RekeycastError } from './errors.ts';
import type { VideoCodec } from './signaling/sdp.ts';
import { parseNetwork } from './signaling/visit.ts';
import { MAX_WORKERS } from './snapshot/worker-folders.ts';
import type { Address } from './transport/address.ts';
import { SRTP_PROFILES, type SrtpProfile } from './transport/srtp/profile.ts';
import type { Millis } from './util/clock.ts';
import { nearest } from './util/near-miss.ts';
import {
  boundHost,
  command,
  count,
  duration,
  isAddress,
  isOrigin,
  isTurnUrl,
  LAST_PORT,
  listOf,
  listWhere,
  oneOf,
  path,
  port,
  portTooHigh,
  type SecretSource,
  secret,
  type Takes,
  textWhere,
} from './util/setting.ts';

/** Everything the server is told, read once. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly udpPort: number;
  readonly stateDir: string;
  readonly keysDir: string;
  readonly keyFile: string | undefined;
  /** Program and arguments. */
  readonly keyCommand: readonly string[] | undefined;
  readonly keyTimeout: Millis;
  readonly passphraseFile: string | undefined;
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
  /** Age at which the server's certificate is replaced. */
  readonly certMaxAge: Millis;
  /** What a server does before it hands over: nothing, or new keys for everybody. */
  readonly handoff: 'current' | 'fresh';
  /** How long a server that drains waits for those whom it has. */
  readonly shutdownMaxWait: Millis;
  /** Origins, beside this machine's own names and addresses, under which browsers reach the page. */
  readonly publicOrigins: readonly string[];
  readonly announced: { readonly addresses: readonly string[]; readonly port: number | undefined };
  /** At a time; `undefined`: an address may have as many as there are. */
  readonly limits: {
    readonly sessions: number;
    readonly sessionsPerAddress: number | undefined;
    readonly connections: number;
    readonly connectionsPerAddress: number | undefined;
  };
  /** Who may come in; everybody where nothing of it is set. */
  readonly access: {
    readonly publishToken: SecretSource | undefined;
    readonly viewToken: SecretSource | undefined;
    readonly publicKeyFile: string | undefined;
    readonly audience: string;
    readonly issuer: string | undefined;
  };
  /** Where monitoring asks; nowhere unless told. */
  readonly admin: { readonly host: string; readonly port: number } | undefined;
  /** Files of the page's certificate and its key; HTTP without TLS where they are absent. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Networks of proxies that may say for whom they ask. */
  readonly trustedProxies: readonly string[];
  readonly turn:
    | { readonly urls: readonly string[]; readonly secret: SecretSource; readonly ttl: Millis }
    | undefined;
  readonly videoCodecs: readonly VideoCodec[];
  readonly srtpProfiles: readonly SrtpProfile[];
  /** The page has buttons that kill, deploy and rotate, for who may press them. */
  readonly demoControls: boolean;
  /** Threads that viewers are spread over; with 0 there is the one that does everything. */
  readonly workers: number;
  /** How media leaves: the fastest way that works, or this one or a slower. */
  readonly sendPath: 'auto' | 'gso' | 'sendmmsg' | 'dgram';
  readonly logLevel: string;
}

interface Setting<Value> {
  readonly takes: Takes<Value>;
  /** As it would be written. A setting without one is `undefined` where it is not set. */
  readonly default?: string;
}

const NONE: readonly string[] = Object.freeze([]);
const text = textWhere('text', () => true);
const PROFILE_NAMES = Object.keys(SRTP_PROFILES) as [SrtpProfile, ...SrtpProfile[]];

/** All settings. docs/configuration.md describes them, and a test compares it with this. */
export const SETTINGS = {
  HOST: { takes: boundHost, default: '0.0.0.0' },
  PORT: { takes: port(0), default: '8080' },
  UDP_PORT: { takes: port(0) },
  STATE_DIR: { takes: path, default: 'state' },
  KEYS_DIR: { takes: path, default: 'keys' },
  SNAPSHOT_KEY_FILE: { takes: path },
  SNAPSHOT_KEY_COMMAND: { takes: command },
  SNAPSHOT_KEY_TIMEOUT: { takes: duration('100ms'), default: '10s' },
  KEYS_PASSPHRASE_FILE: { takes: path },
  RUNTIME_DIR: { takes: path },
  RESUME: { takes: oneOf(['auto', 'strict']), default: 'auto' },
  STALE_KEY_TTL: { takes: duration('100ms'), default: '5s' },
  MEDIA_TTL: { takes: duration('1s'), default: '30s' },
  SESSION_TTL: { takes: duration('1s'), default: '10m' },
  REKEY_INTERVAL: { takes: duration('10s') },
  CERT_MAX_AGE: { takes: duration('1h'), default: '2160h' },
  HANDOFF: { takes: oneOf(['current', 'fresh']), default: 'current' },
  SHUTDOWN_MAX_WAIT: { takes: duration('1s'), default: '10m' },
  PUBLIC_ORIGIN: {
    takes: listWhere(
      'a list of origins as the address bar shows them, such as https://live.example.org',
      isOrigin,
    ),
  },
  ANNOUNCED_ADDRESS: { takes: listWhere('a list of IP addresses', isAddress) },
  ANNOUNCED_PORT: { takes: port(1) },
  MAX_SESSIONS: { takes: count(1, 100_000), default: '2000' },
  MAX_SESSIONS_PER_ADDRESS: { takes: count(1, 100_000) },
  MAX_CONNECTIONS: { takes: count(1, 200_000), default: '4000' },
  MAX_CONNECTIONS_PER_ADDRESS: { takes: count(1, 200_000) },
  PUBLISH_TOKEN: { takes: secret },
  PUBLISH_TOKEN_FILE: { takes: path },
  VIEW_TOKEN: { takes: secret },
  VIEW_TOKEN_FILE: { takes: path },
  AUTH_PUBLIC_KEY: { takes: path },
  AUTH_AUDIENCE: { takes: text, default: 'rekeycast' },
  AUTH_ISSUER: { takes: text },
  ADMIN_HOST: { takes: boundHost, default: '127.0.0.1' },
  ADMIN_PORT: { takes: port(0) },
  TLS_CERT: { takes: path },
  TLS_KEY: { takes: path },
  TRUST_PROXY: {
    takes: listWhere(
      'a list of IP addresses and networks, such as 10.0.0.0/8, fd00::/8',
      (part) => parseNetwork(part) !== undefined,
    ),
  },
  TURN_URLS: { takes: listWhere('a list of TURN servers, such as turn:turn.example.org:3478', isTurnUrl) },
  TURN_SECRET: { takes: secret },
  TURN_SECRET_FILE: { takes: path },
  TURN_TTL: { takes: duration('1m'), default: '24h' },
  VIDEO_CODECS: { takes: listOf(['VP8', 'H264']), default: 'VP8,H264' },
  SRTP_PROFILES: { takes: listOf(PROFILE_NAMES), default: PROFILE_NAMES.join(',') },
  WORKERS: { takes: count(0, MAX_WORKERS), default: '0' },
  DEMO_CONTROLS: { takes: oneOf(['0', '1']), default: '0' },
  SEND_PATH: { takes: oneOf(['auto', 'gso', 'sendmmsg', 'dgram']), default: 'auto' },
  LOG_LEVEL: {
    takes: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    default: 'info',
  },
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

type Name = keyof typeof SETTINGS;
type Values = {
  readonly [Key in Name]:
    | ((typeof SETTINGS)[Key] extends { takes: { schema: z.ZodMiniType<infer Value, string> } }
        ? Value
        : never)
    | ((typeof SETTINGS)[Key] extends { default: string } ? never : undefined);
};
type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the environment. Throws `CONFIG_INVALID` naming the variable, what it is and what it takes. An empty variable counts as unset. */
export function readConfig(env: Environment): Config {
  const values = readValues(env);
  return Object.freeze({
    host: values.HOST,
    port: values.PORT,
    udpPort: values.UDP_PORT ?? values.PORT,
    stateDir: values.STATE_DIR,
    keysDir: values.KEYS_DIR,
    keyFile: values.SNAPSHOT_KEY_FILE,
    keyCommand: values.SNAPSHOT_KEY_COMMAND,
    keyTimeout: values.SNAPSHOT_KEY_TIMEOUT,
    passphraseFile: values.KEYS_PASSPHRASE_FILE,
    runtimeDir: values.RUNTIME_DIR,
    resume: values.RESUME,
    staleKeyTtl: values.STALE_KEY_TTL,
    mediaTtl: values.MEDIA_TTL,
    sessionTtl: values.SESSION_TTL,
    rekeyInterval: values.REKEY_INTERVAL,
    certMaxAge: values.CERT_MAX_AGE,
    handoff: values.HANDOFF,
    shutdownMaxWait: values.SHUTDOWN_MAX_WAIT,
    publicOrigins: values.PUBLIC_ORIGIN ?? NONE,
    announced: Object.freeze({ addresses: values.ANNOUNCED_ADDRESS ?? NONE, port: values.ANNOUNCED_PORT }),
    limits: Object.freeze({
      sessions: values.MAX_SESSIONS,
      sessionsPerAddress: values.MAX_SESSIONS_PER_ADDRESS,
      connections: values.MAX_CONNECTIONS,
      connectionsPerAddress: values.MAX_CONNECTIONS_PER_ADDRESS,
    }),
    access: Object.freeze({
      publishToken: secretOf(values, 'PUBLISH_TOKEN'),
      viewToken: secretOf(values, 'VIEW_TOKEN'),
      publicKeyFile: values.AUTH_PUBLIC_KEY,
      audience: values.AUTH_AUDIENCE,
      issuer: values.AUTH_ISSUER,
    }),
    admin: adminOf(values),
    tls: tlsOf(values),
    trustedProxies: values.TRUST_PROXY ?? NONE,
    turn: turnOf(values),
    videoCodecs: values.VIDEO_CODECS,
    srtpProfiles: values.SRTP_PROFILES,
    demoControls: values.DEMO_CONTROLS === '1',
    workers: workersOf(values),
    sendPath: values.SEND_PATH,
    logLevel: values.LOG_LEVEL,
  });
}

function adminOf({ HOST, PORT, ADMIN_HOST: host, ADMIN_PORT: port }: Values): Config['admin'] {
  if (port === undefined) return undefined;
  // 0 is any that is free.
  if (port === 0 || port !== PORT || !overlap(HOST, host)) return Object.freeze({ host, port });
  throw new RekeycastError(
    'CONFIG_INVALID',
    `ADMIN_PORT is ${port}, which is PORT as well: visitors have it. Give it another one, 9464 by custom`,
  );
}

/** Each has a UDP port of its own, behind that of the server. */
function workersOf({ WORKERS: workers, UDP_PORT, PORT, ANNOUNCED_PORT }: Values): number {
  const ports = { [UDP_PORT === undefined ? 'PORT' : 'UDP_PORT']: UDP_PORT ?? PORT, ANNOUNCED_PORT };
  const tooHigh = portTooHigh(ports, workers);
  if (tooHigh === undefined) return workers;
  const [name, port] = tooHigh;
  const words = `WORKERS is ${workers} and ${name} is ${port}: each worker has a port behind that one, and there are only ${LAST_PORT}`;
  throw new RekeycastError('CONFIG_INVALID', words);
}

/** Whether there is an address at which both would listen. */
function overlap(one: string, other: string): boolean {
  const takes = (host: string, asked: string) => host === '::' || (host === '0.0.0.0' && isIPv4(asked));
  return one === other || takes(one, other) || takes(other, one);
}

function tlsOf({ TLS_CERT: cert, TLS_KEY: key }: Values): Config['tls'] {
  if (cert !== undefined && key !== undefined) return Object.freeze({ cert, key });
  const [set, other, path] =
    cert === undefined ? ['TLS_KEY', 'TLS_CERT', key] : ['TLS_CERT', 'TLS_KEY', cert];
  if (path === undefined) return undefined;
  throw new RekeycastError(
    'CONFIG_INVALID',
    `${set} is ${JSON.stringify(path)}, and ${other} is not set: they belong together`,
  );
}

function turnOf(values: Values): Config['turn'] {
  const { TURN_URLS: urls, TURN_TTL: ttl } = values;
  const secret = secretOf(values, 'TURN_SECRET');
  if (urls !== undefined && secret !== undefined) return Object.freeze({ urls, secret, ttl });
  if (urls === undefined && secret === undefined) return undefined;
  throw new RekeycastError(
    'CONFIG_INVALID',
    urls === undefined
      ? `${secret?.name} is set, and TURN_URLS is not: there is no TURN server that it would be for`
      : `TURN_URLS is ${JSON.stringify(urls.join(','))}, and neither TURN_SECRET nor TURN_SECRET_FILE is set: without it the TURN server lets nobody in`,
  );
}

type SecretName = { [Key in Name]: `${Key}_FILE` extends Name ? Key : never }[Name];

/** A secret stands in a variable or in the file that one names, which other processes of this user do not see. */
function secretOf(values: Values, name: SecretName): SecretSource | undefined {
  const [value, file] = [values[name], values[`${name}_FILE`]];
  if (value !== undefined && file !== undefined) {
    const words = `${name}_FILE is ${JSON.stringify(file)}, and ${name} is set as well: one of them has to go`;
    throw new RekeycastError('CONFIG_INVALID', words);
  }
  if (value !== undefined) return Object.freeze({ name, value });
  return file === undefined ? undefined : Object.freeze({ name: `${name}_FILE`, file });
}

/** Words about variables that look like a slip of the hand in one of ours: they have no effect, which nobody would notice. */
export function findSlips(env: Environment): readonly string[] {
  return Object.keys(env).flatMap((name) => {
    const meant = name in SETTINGS ? undefined : nearest(name, Object.keys(SETTINGS));
    if (meant === undefined || env[meant]) return [];
    return [`${name} is no setting and has no effect: did you mean ${meant}?`];
  });
}

/** All that is wrong is said at once. */
function readValues(env: Environment): Values {
  const problems: string[] = [];
  const read = (name: string, { takes, default: fallback }: Setting<unknown>): unknown => {
    const text = env[name] || fallback;
    if (text === undefined) return undefined;
    const result = takes.schema.safeParse(text);
    if (result.success) return result.data;
    const shown = takes.hidden ? `${text.length} characters long (not shown)` : JSON.stringify(text);
    // One for each variable: each part of a list may be wrong, and the whole list is shown each time.
    problems.push(`${name} is ${shown}, which is not ${result.error.issues[0]!.message}`);
    return undefined;
  };
  const values = Object.entries(SETTINGS).map(([name, setting]) => [name, read(name, setting)]);
  if (problems.length > 0) throw new RekeycastError('CONFIG_INVALID', problems.join('; '));
  return Object.fromEntries(values) as Values;
}

/**
 * The addresses that go into offers: those announced, or the one the server is bound to, or, bound to all, every address of this
 * machine, loopback last (a page on this machine has nothing better).
 */
export function candidateAddresses(
  config: Pick<Config, 'host' | 'announced'>,
  boundPort: number,
): readonly Address[] {
  const { addresses, port = boundPort } = config.announced;
  if (addresses.length > 0) return addresses.map((ip) => ({ ip, port }));
  const any = config.host === '0.0.0.0' || config.host === '::';
  if (!any) return [{ ip: config.host, port }];
  return Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .filter(
      ({ family, address }) => family === 'IPv4' || (config.host === '::' && !address.startsWith('fe80:')),
    )
    .sort((a, b) => Number(a.internal) - Number(b.internal))
    .map(({ address }) => ({ ip: address, port }));
}
