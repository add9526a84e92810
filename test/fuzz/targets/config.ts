import { candidateAddresses, readConfig } from '../../../src/config.ts';
import { RekeycastError } from '../../../src/errors.ts';
import { createOffer } from '../../../src/signaling/sdp.ts';
import { fingerprintOf } from '../../../src/transport/dtls/fingerprint.ts';
import { bufferOf, utf8 } from '../../../src/util/bytes.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateList, mutateText } from '../mutate.ts';

const ENVIRONMENT = [
  'HOST=127.0.0.1',
  'HOST=::1',
  'PORT=8080',
  'UDP_PORT=0',
  'STATE_DIR=state',
  'KEYS_DIR=keys',
  'RUNTIME_DIR=/run/rekeycast',
  'RESUME=strict',
  'STALE_KEY_TTL=500ms',
  'MEDIA_TTL=999999999h',
  'SESSION_TTL=10m',
  'REKEY_INTERVAL=1h',
  'ANNOUNCED_ADDRESS=192.0.2.1',
  'ANNOUNCED_ADDRESS=2001:db8::1,192.0.2.2',
  'ANNOUNCED_PORT=1',
  'VIDEO_CODECS=VP8,H264',
  'SRTP_PROFILES=AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80',
  'PUBLISH_TOKEN=publish-publish-publish',
  'VIEW_TOKEN_FILE=/run/view',
  'AUTH_PUBLIC_KEY=key.pem',
  'TLS_CERT=tls.crt',
  'TLS_KEY=tls.key',
  'TRUST_PROXY=10.0.0.0/8, ::1',
  'TURN_URLS=turn:192.0.2.1:3478?transport=udp',
  'TURN_SECRET=north-north-north-north',
  'MAX_SESSIONS=10',
  'MAX_CONNECTIONS_PER_ADDRESS=3',
  'LOG_LEVEL=info',
];
/** A deadline is written in 48 bits of milliseconds. */
const LATEST = 2 ** 48;
/** Well before the end of them. */
const NOW = 1_800_000_000_000;

export const config: FuzzTarget = {
  id: 'fuzz-config',
  claim:
    'settings are refused with the name of a variable, or make an offer and deadlines that can be written',
  inputs: 5_000,
  maxBytes: 16 * 1_024,
  reaches: ['accepted', 'refused'],
  seeds: () => [
    ...ENVIRONMENT.map((line) => utf8(line)),
    utf8(ENVIRONMENT.filter((line) => !line.startsWith('MEDIA_TTL')).join('\n')),
  ],
  mutate: (input, random) => {
    const lines = bufferOf(input).toString('utf8').split('\n');
    const change = (line: string): string => {
      const at = line.indexOf('=') + 1;
      return line.slice(0, at) + mutateText(line.slice(at), random);
    };
    return utf8(mutateList<string>(lines, random, change, () => random.pick(ENVIRONMENT)).join('\n'));
  },
  run: (input) => {
    const lines = bufferOf(input).toString('utf8').split('\n');
    const env = Object.fromEntries(
      lines.map((line) => [line.split('=')[0]!, line.slice(line.indexOf('=') + 1)]),
    );
    try {
      const read = readConfig(env);
      const spans = [read.mediaTtl, read.staleKeyTtl, read.sessionTtl, read.rekeyInterval ?? 0];
      if (!spans.every((span) => Number.isSafeInteger(span) && span >= 0))
        throw new Error('a span that is none');
      if (NOW + read.mediaTtl >= LATEST) throw new Error('a deadline that cannot be written');
      const offer = createOffer({
        role: 'viewer',
        connection: 1,
        offer: 1,
        ice: { ufrag: 'abcd', pwd: 'a'.repeat(24) },
        fingerprint: fingerprintOf(new Uint8Array(1), 'sha-256'),
        candidates: candidateAddresses(read, 8_080),
        videoCodecs: read.videoCodecs,
        cname: 'c',
        streams: [],
      });
      if (/[^\r\n -~]/.test(offer)) throw new Error('an offer with something else than text');
      return 'accepted';
    } catch (cause) {
      if (!(cause instanceof RekeycastError) || cause.code !== 'CONFIG_INVALID') throw cause;
      if (!/^[A-Z_]+ is /.test(cause.message)) throw new Error(`no variable is named: ${cause.message}`);
      return 'refused';
    }
  },
};
