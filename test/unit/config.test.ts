import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { candidateAddresses, readConfig } from '../../src/config.ts';

describe('readConfig', () => {
  it('has a default for everything', () => {
    expect(readConfig({})).toEqual({
      host: '0.0.0.0',
      port: 8080,
      udpPort: 8080,
      stateDir: 'state',
      keysDir: 'keys',
      runtimeDir: undefined,
      resume: 'auto',
      staleKeyTtl: 5_000,
      mediaTtl: 30_000,
      sessionTtl: 600_000,
      rekeyInterval: undefined,
      announced: { address: undefined, port: undefined },
      videoCodecs: ['VP8', 'H264'],
      srtpProfiles: ['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'],
      logLevel: 'info',
    });
  });

  it('takes an empty variable for one that is not set, and leaves strangers alone', () => {
    expect(readConfig({ PORT: '', RESUME: '', REKEY_INTERVAL: '', PATH: '/bin', UNSET: undefined })).toEqual(
      readConfig({}),
    );
  });

  it('is frozen', () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true);
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
    ['RUNTIME_DIR', '/run/x', { runtimeDir: '/run/x' }],
    ['RESUME', 'strict', { resume: 'strict' }],
    ['STALE_KEY_TTL', '500ms', { staleKeyTtl: 500 }],
    ['MEDIA_TTL', '5s', { mediaTtl: 5_000 }],
    ['SESSION_TTL', '10m', { sessionTtl: 600_000 }],
    ['REKEY_INTERVAL', '1h', { rekeyInterval: 3_600_000 }],
    ['ANNOUNCED_ADDRESS', '192.0.2.1', { announced: { address: '192.0.2.1', port: undefined } }],
    ['ANNOUNCED_ADDRESS', '2001:db8::1', { announced: { address: '2001:db8::1', port: undefined } }],
    ['ANNOUNCED_PORT', '1', { announced: { address: undefined, port: 1 } }],
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
    ['ANNOUNCED_ADDRESS', 'example.org', 'an IP address'],
    ['ANNOUNCED_PORT', '0', 'a port, 1 to 65535'],
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

describe('candidateAddresses', () => {
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
