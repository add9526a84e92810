import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { candidateAddresses, findSlips, readConfig, SETTINGS } from '../../src/config.ts';

describe('readConfig', () => {
  it('has a default for everything', () => {
    expect(readConfig({})).toEqual({
      host: '0.0.0.0',
      port: 8080,
      udpPort: 8080,
      stateDir: 'state',
      keysDir: 'keys',
      keyFile: undefined,
      keyCommand: undefined,
      keyTimeout: 10_000,
      passphraseFile: undefined,
      runtimeDir: undefined,
      resume: 'auto',
      staleKeyTtl: 5_000,
      mediaTtl: 30_000,
      sessionTtl: 600_000,
      rekeyInterval: undefined,
      certMaxAge: 90 * 24 * 3_600_000,
      handoff: 'current',
      shutdownMaxWait: 600_000,
      publicOrigins: [],
      announced: { addresses: [], port: undefined },
      limits: {
        sessions: 2_000,
        sessionsPerAddress: undefined,
        connections: 4_000,
        connectionsPerAddress: undefined,
      },
      access: {
        publishToken: undefined,
        viewToken: undefined,
        publicKeyFile: undefined,
        audience: 'rekeycast',
        issuer: undefined,
      },
      tls: undefined,
      trustedProxies: [],
      turn: undefined,
      videoCodecs: ['VP8', 'H264'],
      workers: 0,
      srtpProfiles: ['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'],
      demoControls: false,
      logLevel: 'info',
      sendPath: 'auto',
    });
  });

  it('takes an empty variable for one that is not set, and leaves strangers alone', () => {
    expect(readConfig({ PORT: '', RESUME: '', REKEY_INTERVAL: '', PATH: '/bin', UNSET: undefined })).toEqual(
      readConfig({}),
    );
  });

  it('is frozen, with all that is in it', () => {
    const config = readConfig({ ANNOUNCED_ADDRESS: '192.0.2.1', PUBLIC_ORIGIN: 'https://a' });
    const parts = Object.values(config).filter((part) => typeof part === 'object');
    expect(parts.length).toBeGreaterThan(3);
    for (const part of [config, ...parts, config.announced.addresses])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it.each([
    ['HOST', '127.0.0.1', { host: '127.0.0.1' }],
    ['HOST', '::', { host: '::' }],
    ['HOST', 'localhost', { host: '127.0.0.1' }],
    ['PORT', '0', { port: 0, udpPort: 0 }],
    ['PORT', '65535', { port: 65_535, udpPort: 65_535 }],
    ['UDP_PORT', '9000', { port: 8080, udpPort: 9000 }],
    ['STATE_DIR', '/var/lib/x', { stateDir: '/var/lib/x' }],
    ['KEYS_DIR', '/etc/x', { keysDir: '/etc/x' }],
    ['SNAPSHOT_KEY_FILE', '/etc/x', { keyFile: '/etc/x' }],
    ['SNAPSHOT_KEY_COMMAND', ' vault  kv get x ', { keyCommand: ['vault', 'kv', 'get', 'x'] }],
    ['SNAPSHOT_KEY_COMMAND', '["/bin/sh", "-c", "a | b"]', { keyCommand: ['/bin/sh', '-c', 'a | b'] }],
    ['SNAPSHOT_KEY_TIMEOUT', '1m', { keyTimeout: 60_000 }],
    ['KEYS_PASSPHRASE_FILE', '/etc/x', { passphraseFile: '/etc/x' }],
    ['RUNTIME_DIR', '/run/x', { runtimeDir: '/run/x' }],
    ['RESUME', 'strict', { resume: 'strict' }],
    ['STALE_KEY_TTL', '500ms', { staleKeyTtl: 500 }],
    ['MEDIA_TTL', '5s', { mediaTtl: 5_000 }],
    ['HANDOFF', 'fresh', { handoff: 'fresh' }],
    ['SHUTDOWN_MAX_WAIT', '1h', { shutdownMaxWait: 3_600_000 }],
    ['SESSION_TTL', '8784h', { sessionTtl: 366 * 86_400_000 }],
    ['SESSION_TTL', '10m', { sessionTtl: 600_000 }],
    ['REKEY_INTERVAL', '1h', { rekeyInterval: 3_600_000 }],
    ['CERT_MAX_AGE', '8784h', { certMaxAge: 366 * 86_400_000 }],
    ['PUBLIC_ORIGIN', 'https://live.example.org', { publicOrigins: ['https://live.example.org'] }],
    ['PUBLIC_ORIGIN', 'http://a:8080, https://b', { publicOrigins: ['http://a:8080', 'https://b'] }],
    ['ANNOUNCED_ADDRESS', '192.0.2.1', { announced: { addresses: ['192.0.2.1'], port: undefined } }],
    [
      'ANNOUNCED_ADDRESS',
      '192.0.2.1, 2001:db8::1',
      { announced: { addresses: ['192.0.2.1', '2001:db8::1'], port: undefined } },
    ],
    ['ANNOUNCED_PORT', '1', { announced: { addresses: [], port: 1 } }],
    ['WORKERS', '4', { workers: 4 }],
    ['REKEY_INTERVAL', '10s', { rekeyInterval: 10_000 }],
    ['MAX_SESSIONS', '1', { limits: { ...readConfig({}).limits, sessions: 1 } }],
    ['MAX_SESSIONS_PER_ADDRESS', '3', { limits: { ...readConfig({}).limits, sessionsPerAddress: 3 } }],
    ['MAX_CONNECTIONS', '10', { limits: { ...readConfig({}).limits, connections: 10 } }],
    ['MAX_CONNECTIONS_PER_ADDRESS', '4', { limits: { ...readConfig({}).limits, connectionsPerAddress: 4 } }],
    ['TRUST_PROXY', '10.0.0.0/8, ::1', { trustedProxies: ['10.0.0.0/8', '::1'] }],
    ['VIDEO_CODECS', 'H264', { videoCodecs: ['H264'] }],
    ['VIDEO_CODECS', 'H264, VP8', { videoCodecs: ['H264', 'VP8'] }],
    ['SRTP_PROFILES', 'AEAD_AES_256_GCM', { srtpProfiles: ['AEAD_AES_256_GCM'] }],
    ['LOG_LEVEL', 'silent', { logLevel: 'silent' }],
  ])('reads %s=%s', (name, value, expected) => {
    expect(readConfig({ [name]: value })).toEqual({ ...readConfig({}), ...expected });
  });

  it.each([
    ['HOST', 'example.org', 'an IP address of this machine, or localhost'],
    ['HOST', '1.2.3', 'an IP address of this machine, or localhost'],
    ['PORT', 'http', 'a port, 0 to 65535'],
    ['PORT', '65536', 'a port, 0 to 65535'],
    ['PORT', '-1', 'a port, 0 to 65535'],
    ['PORT', ' ', 'a port, 0 to 65535'],
    ['PORT', '0x50', 'a port, 0 to 65535'],
    ['PORT', '80.5', 'a port, 0 to 65535'],
    ['UDP_PORT', '99999', 'a port, 0 to 65535'],
    ['RESUME', 'AUTO', 'one of auto, strict'],
    ['STALE_KEY_TTL', '5', 'a duration such as 500ms, 5s, 10m or 1h'],
    ['MEDIA_TTL', '-5s', 'a duration such as 500ms, 5s, 10m or 1h'],
    ['SESSION_TTL', '5 s', 'a duration such as 500ms, 5s, 10m or 1h'],
    ['SESSION_TTL', '1e3s', 'a duration such as 500ms, 5s, 10m or 1h'],
    ['REKEY_INTERVAL', '9999999999h', 'a duration such as 500ms, 5s, 10m or 1h'],
    ['MEDIA_TTL', '8785h', 'a duration of a year at most'],
    ['REKEY_INTERVAL', '0s', 'a duration of 10s at least'],
    ['REKEY_INTERVAL', '9999ms', 'a duration of 10s at least'],
    ['STALE_KEY_TTL', '0ms', 'a duration of 100ms at least'],
    ['ANNOUNCED_ADDRESS', 'example.org', 'a list of IP addresses'],
    ['ANNOUNCED_ADDRESS', 'fe80::1%eth0', 'a list of IP addresses'],
    ['ANNOUNCED_ADDRESS', '192.0.2.1,', 'a list of IP addresses'],
    ['ANNOUNCED_PORT', '0', 'a port, 1 to 65535'],
    ['MAX_SESSIONS', '0', 'a number, 1 to 100000'],
    ['MAX_SESSIONS_PER_ADDRESS', 'many', 'a number, 1 to 100000'],
    ['MAX_CONNECTIONS', '-1', 'a number, 1 to 200000'],
    ['TRUST_PROXY', '10.0.0.0/33', 'a list of IP addresses and networks, such as 10.0.0.0/8, fd00::/8'],
    ['TRUST_PROXY', 'true', 'a list of IP addresses and networks, such as 10.0.0.0/8, fd00::/8'],
    ['TURN_URLS', 'turn.example.org', 'a list of TURN servers, such as turn:turn.example.org:3478'],
    ['TURN_URLS', 'stun:stun.example.org', 'a list of TURN servers, such as turn:turn.example.org:3478'],
    ['TURN_URLS', 'turn:a b', 'a list of TURN servers, such as turn:turn.example.org:3478'],
    ['TURN_TTL', '0s', 'a duration of 1m at least'],
    ['VIDEO_CODECS', 'VP9', 'a list of VP8, H264'],
    ['VIDEO_CODECS', ',', 'a list of VP8, H264'],
    ['VIDEO_CODECS', 'VP8;H264', 'a list of VP8, H264'],
    [
      'SRTP_PROFILES',
      'NULL_HMAC_SHA1_80',
      'a list of AES_CM_128_HMAC_SHA1_80, AEAD_AES_128_GCM, AEAD_AES_256_GCM',
    ],
    ['LOG_LEVEL', 'loud', 'one of trace, debug, info, warn, error, fatal, silent'],
  ])('says of %s=%j what it is and what it takes', (name, value, takes) => {
    expect(() => readConfig({ [name]: value })).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: `${name} is ${JSON.stringify(value)}, which is not ${takes}`,
      }),
    );
  });

  it('says all that is wrong at once', () => {
    expect(() => readConfig({ PORT: 'x', RESUME: 'y' })).toThrow(/^PORT is "x".*; RESUME is "y"/);
  });
});

describe('the admin address', () => {
  it.each([
    { PORT: '8080', ADMIN_PORT: '9464' },
    { PORT: '0', ADMIN_PORT: '0' },
    { HOST: '192.0.2.1', PORT: '9464', ADMIN_PORT: '9464' },
    { HOST: '0.0.0.0', PORT: '9464', ADMIN_HOST: '::1', ADMIN_PORT: '9464' },
  ])('may lie beside that of visitors: %j', (env) => {
    expect(readConfig(env).admin?.port).toBe(Number(env.ADMIN_PORT));
  });

  it.each([
    { ADMIN_PORT: '8080' },
    { PORT: '9464', ADMIN_PORT: '9464' },
    { HOST: '::', PORT: '9464', ADMIN_PORT: '9464' },
    { HOST: '::1', PORT: '9464', ADMIN_HOST: '::', ADMIN_PORT: '9464' },
    { HOST: '192.0.2.1', PORT: '9464', ADMIN_HOST: '192.0.2.1', ADMIN_PORT: '9464' },
  ])('cannot be that of visitors: %j', (env) => {
    expect(() => readConfig(env)).toThrow(`ADMIN_PORT is ${env.ADMIN_PORT}, which is PORT as well`);
  });
});

describe('workers', () => {
  it('have ports behind that of the server, the last of which there is too', () => {
    expect(readConfig({ WORKERS: '2', UDP_PORT: '65533', ANNOUNCED_PORT: '65533' }).workers).toBe(2);
    expect(readConfig({ WORKERS: '2', UDP_PORT: '0' }).workers).toBe(2);
  });

  it.each([
    [{ PORT: '65534' }, 'WORKERS is 2 and PORT is 65534: each worker has a port behind that one'],
    [{ UDP_PORT: '65535' }, 'WORKERS is 2 and UDP_PORT is 65535'],
    [{ ANNOUNCED_PORT: '65534' }, 'WORKERS is 2 and ANNOUNCED_PORT is 65534'],
  ])('have no ports that there are not: %j', (env, words) => {
    expect(() => readConfig({ WORKERS: '2', ...env })).toThrow(words);
    expect(readConfig(env).workers).toBe(0);
  });
});

describe('a certificate', () => {
  it('has a key', () => {
    expect(readConfig({ TLS_CERT: '/c', TLS_KEY: '/k' }).tls).toEqual({ cert: '/c', key: '/k' });
    expect(() => readConfig({ TLS_CERT: '/c' })).toThrow(
      'TLS_CERT is "/c", and TLS_KEY is not set: they belong together',
    );
    expect(() => readConfig({ TLS_KEY: '/k' })).toThrow(
      'TLS_KEY is "/k", and TLS_CERT is not set: they belong together',
    );
  });
});

describe('a TURN server', () => {
  const URLS = 'turn:turn.example.org:3478?transport=udp, turns:[2001:db8::1]:5349?transport=tcp';
  const TURN_SECRET = 'not-for-any-eyes-x';

  it('has a secret', () => {
    expect(readConfig({ TURN_URLS: URLS, TURN_SECRET_FILE: '/s', TURN_TTL: '1h' }).turn).toEqual({
      urls: URLS.split(', '),
      secret: { name: 'TURN_SECRET_FILE', file: '/s' },
      ttl: 3_600_000,
    });
    expect(() => readConfig({ TURN_URLS: URLS })).toThrow(/^TURN_URLS is .* neither TURN_SECRET nor/);
    expect(() => readConfig({ TURN_SECRET })).toThrow(/^TURN_SECRET is set, and TURN_URLS is not/);
    expect(() => readConfig({ TURN_SECRET })).not.toThrow(TURN_SECRET);
  });
});

describe('a secret', () => {
  const SHOWN = 'not-for-any-eyes-x';

  it('is a value or a file, and is not shown', () => {
    const { access } = readConfig({ PUBLISH_TOKEN: SHOWN, VIEW_TOKEN_FILE: '/run/view' });
    expect(access.viewToken).toEqual({ name: 'VIEW_TOKEN_FILE', file: '/run/view' });
    const { publishToken } = access;
    expect(publishToken && 'value' in publishToken && Buffer.from(publishToken.value.bytes).toString()).toBe(
      SHOWN,
    );
    expect(inspect(access, { depth: 9 })).not.toContain(SHOWN);
    expect(inspect(access, { depth: 9 })).toContain('Secret(18 bytes)');
  });

  it.each(['short', 'has a blank within it', 'x'.repeat(513), 'ünicode-ünicode-ünicode'])(
    'that is none (%j) is refused without being shown',
    (token) => {
      const takes = 'a secret of 16 to 512 characters without spaces';
      expect(() => readConfig({ PUBLISH_TOKEN: token })).toThrow(
        expect.objectContaining({
          code: 'CONFIG_INVALID',
          message: `PUBLISH_TOKEN is ${token.length} characters long (not shown), which is not ${takes}`,
        }),
      );
    },
  );

  it('is not both', () => {
    expect(() => readConfig({ VIEW_TOKEN: SHOWN, VIEW_TOKEN_FILE: '/run/view' })).toThrow(
      'VIEW_TOKEN_FILE is "/run/view", and VIEW_TOKEN is set as well: one of them has to go',
    );
  });
});

describe('findSlips', () => {
  it.each([
    ['ANOUNCED_ADDRESS', 'ANNOUNCED_ADDRESS'],
    ['STATEDIR', 'STATE_DIR'],
    ['public-origin', 'PUBLIC_ORIGIN'],
    ['POTR', 'PORT'],
    ['REKEY_INTERVALL', 'REKEY_INTERVAL'],
  ])('asks of %s whether it was to be %s', (typed, meant) => {
    expect(findSlips({ [typed]: 'x' })).toEqual([
      `${typed} is no setting and has no effect: did you mean ${meant}?`,
    ]);
  });

  it('says nothing of what is a setting, of what belongs to others, and where the one meant is set', () => {
    const others = [
      ...['HOME', 'PATH', 'PWD', 'SHELL', 'TERM', 'USER', 'LANG', 'MAIL', 'HOSTNAME', 'NODE_ENV', 'SHLVL'],
      // What systemd and Kubernetes (for a service of our name) set of their own accord.
      ...['STATE_DIRECTORY', 'RUNTIME_DIRECTORY', 'XDG_RUNTIME_DIR', 'LOGS_DIRECTORY', 'LISTEN_FDS'],
      ...['REKEYCAST_PORT', 'REKEYCAST_SERVICE_HOST', 'KUBERNETES_PORT'],
    ];
    const env = Object.fromEntries([...others, ...Object.keys(SETTINGS)].map((name) => [name, 'x']));
    expect(findSlips(env)).toEqual([]);
    expect(findSlips({ PORTS: '1', PORT: '2' })).toEqual([]);
    expect(findSlips({ PORTS: '1', PORT: '' })).toHaveLength(1);
  });
});

describe('docs/configuration.md', () => {
  it('lists each setting once, in this order, with its default and what it takes', () => {
    const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| (.*?) ?\| (.*?) \| (.+) \|$/gm)];
    const told = rows.map(([, name, fallback, takes]) => ({ name, fallback, takes }));
    expect(told).toEqual(
      Object.entries(SETTINGS).map(([name, setting]) => ({
        name,
        fallback: 'default' in setting ? `\`${setting.default}\`` : '',
        takes: setting.takes.words,
      })),
    );
  });
});

describe('candidateAddresses', () => {
  it('gives all announced addresses, in their order, under the one port', () => {
    const config = readConfig({ ANNOUNCED_ADDRESS: '192.0.2.1,2001:db8::1' });
    expect(candidateAddresses(config, 8080)).toEqual([
      { ip: '192.0.2.1', port: 8080 },
      { ip: '2001:db8::1', port: 8080 },
    ]);
  });

  it('gives the announced address and port alone', () => {
    const config = readConfig({ ANNOUNCED_ADDRESS: '192.0.2.1', ANNOUNCED_PORT: '443' });
    expect(candidateAddresses(config, 8080)).toEqual([{ ip: '192.0.2.1', port: 443 }]);
  });

  it('gives the announced address with the port that is bound, where none is announced', () => {
    expect(candidateAddresses(readConfig({ ANNOUNCED_ADDRESS: '192.0.2.1', PORT: '0' }), 54_321)).toEqual([
      { ip: '192.0.2.1', port: 54_321 },
    ]);
  });

  it.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::1', '::1'],
    ['localhost', '127.0.0.1'],
  ])('gives the one address of HOST=%s', (host, ip) => {
    expect(candidateAddresses(readConfig({ HOST: host }), 8080)).toEqual([{ ip, port: 8080 }]);
  });

  it('gives every IPv4 address of this machine for 0.0.0.0, loopback last', () => {
    const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    const candidates = candidateAddresses(readConfig({}), 8080).map(({ ip }) => ip);
    expect(new Set(candidates)).toEqual(
      new Set(all.filter(({ family }) => family === 'IPv4').map(({ address }) => address)),
    );
    const internal = candidates.map((ip) => all.find(({ address }) => address === ip)!.internal);
    expect(internal).toEqual([...internal].sort((a, b) => Number(a) - Number(b)));
  });

  it('gives IPv6 too for ::, but no link-local address, which says nothing without its interface', () => {
    const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    const candidates = candidateAddresses(readConfig({ HOST: '::' }), 8080).map(({ ip }) => ip);
    expect(new Set(candidates)).toEqual(
      new Set(all.map(({ address }) => address).filter((address) => !address.startsWith('fe80:'))),
    );
  });
});
