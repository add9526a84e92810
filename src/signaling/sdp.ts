import * as sdpTransform from 'sdp-transform';
import { CLOCK_RATE, CODECS, EXTENSION_ID, PAYLOAD_TYPE } from '../room/media.ts';
import type { RoomStreamState } from '../room/state.ts';
import type { Address } from '../transport/address.ts';
import { DIGEST_BYTES, type Fingerprint } from '../transport/dtls/fingerprint.ts';
import { ICE_PWD, ICE_UFRAG, type IceCredentials } from '../transport/ice/ice-lite.ts';
import { fromHex, toHex } from '../util/bytes.ts';
import type { Role } from './protocol.ts';

/** Video codecs a room carries, in the order they are offered. */
export type VideoCodec = 'VP8' | 'H264';

/** What an offer says of one connection. */
export interface OfferOptions {
  readonly role: Role;
  /** Number of the connection: the SDP session id. */
  readonly connection: number;
  /** Number of the offer: the SDP session version (RFC 8866 §5.2), higher with each offer. */
  readonly offer: number;
  readonly ice: IceCredentials;
  /** The server's certificate under the digest of this epoch. */
  readonly fingerprint: Fingerprint;
  readonly candidates: readonly Address[];
  readonly videoCodecs: readonly VideoCodec[];
  /** The room's CNAME and streams, announced to viewers: the same as in its sender reports (RFC 5576 §6.1). */
  readonly cname: string;
  readonly streams: readonly Pick<RoomStreamState, 'kind' | 'ssrc' | 'rtxSsrc'>[];
}

/** What an answer says of the other side. */
export interface Answer {
  readonly ice: IceCredentials;
  readonly fingerprints: readonly Fingerprint[];
  /** Whether the peer took the video, the audio. */
  readonly video: boolean;
  readonly audio: boolean;
}

/** RFC 8839 §5.1: (2^24)(126) + (2^8)(65535) + 255, a host candidate on component 1. */
const HOST_PRIORITY = 2130706431;

/**
 * The one place where an offer is made: always ours, always `setup:active` (the server is the DTLS client), audio then video in one
 * BUNDLE, all candidates in it (the server is ICE-lite).
 */
export function createOffer(options: OfferOptions): string {
  return sdpTransform.write({
    version: 0,
    origin: {
      username: 'rekeycast',
      sessionId: String(options.connection),
      sessionVersion: options.offer,
      netType: 'IN',
      ipVer: 4,
      address: '127.0.0.1',
    },
    name: '-',
    timing: { start: 0, stop: 0 },
    icelite: 'ice-lite',
    groups: [{ type: 'BUNDLE', mids: '0 1' }],
    msidSemantic: { semantic: 'WMS', token: '*' },
    media: [audioSection(options), videoSection(options)],
  });
}

/** Parses an answer to our offer. `undefined` where it is malformed or not an answer that this server can go on with. */
export function parseAnswer(sdp: string): Answer | undefined {
  const session = parseSdp(sdp);
  const bundled = session?.media.find((media) => media.port !== 0);
  if (session === undefined || bundled === undefined || session.media.length !== 2) return undefined;
  const [audio, video] = session.media;
  if (audio?.type !== 'audio' || video?.type !== 'video') return undefined;
  const ufrag = String(bundled.iceUfrag ?? session.iceUfrag ?? '');
  const pwd = String(bundled.icePwd ?? session.icePwd ?? '');
  if (!ICE_UFRAG.test(ufrag) || !ICE_PWD.test(pwd)) return undefined;
  // RFC 8842 §5.3: we are active, so the answerer has to be passive.
  if ((bundled.setup ?? session.setup) !== 'passive') return undefined;
  const fingerprint = parseFingerprint(bundled.fingerprint ?? session.fingerprint);
  if (fingerprint === undefined) return undefined;
  return {
    ice: { ufrag, pwd },
    fingerprints: [fingerprint],
    audio: isActive(audio),
    video: isActive(video),
  };
}

type Media = ReturnType<typeof sdpTransform.parse>['media'][number];

const isActive = (media: Media): boolean => media.port !== 0 && media.direction !== 'inactive';

function parseSdp(sdp: string): ReturnType<typeof sdpTransform.parse> | undefined {
  try {
    return sdpTransform.parse(sdp);
  } catch {
    return undefined;
  }
}

function parseFingerprint(attribute: { type: string; hash: string } | undefined): Fingerprint | undefined {
  if (attribute === undefined) return undefined;
  // Whatever its types say: what looks like a number is one.
  const algorithm = String(attribute.type).toLowerCase();
  const hash = String(attribute.hash);
  if (algorithm !== 'sha-256' && algorithm !== 'sha-384' && algorithm !== 'sha-512') return undefined;
  if (!/^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*$/.test(hash)) return undefined;
  const digest = fromHex(hash.replaceAll(':', ''));
  return digest.length === DIGEST_BYTES[algorithm] ? { algorithm, digest } : undefined;
}

function audioSection(options: OfferOptions): sdpTransform.MediaDescription {
  return {
    ...transportAttributes(options, '0'),
    type: 'audio',
    payloads: String(PAYLOAD_TYPE.opus),
    rtp: [{ payload: PAYLOAD_TYPE.opus, codec: 'opus', rate: CLOCK_RATE.audio, encoding: 2 }],
    fmtp: [{ payload: PAYLOAD_TYPE.opus, config: 'minptime=10;useinbandfec=1' }],
    ...(options.role === 'broadcaster'
      ? transportCc([PAYLOAD_TYPE.opus], [])
      : announcedStream(options, 'audio')),
  };
}

function videoSection(options: OfferOptions): sdpTransform.MediaDescription {
  const codecs = options.videoCodecs.map((name) => {
    const { payloadType: payload, rtx } = CODECS[name];
    return { name, payload, rtx, config: FORMAT[name] };
  });
  const payloads = codecs.flatMap((codec) => [codec.payload, codec.rtx]);
  const feedback = codecs.flatMap(({ payload }) => [
    { payload, type: 'nack' },
    { payload, type: 'nack', subtype: 'pli' },
    { payload, type: 'ccm', subtype: 'fir' },
  ]);
  return {
    ...transportAttributes(options, '1'),
    type: 'video',
    payloads: payloads.join(' '),
    rtp: codecs.flatMap(({ payload, rtx, name }) => [
      { payload, codec: name, rate: CLOCK_RATE.video },
      { payload: rtx, codec: 'rtx', rate: CLOCK_RATE.video },
    ]),
    fmtp: codecs.flatMap(({ payload, rtx, config }) => [
      ...parameters(config, options.role === 'broadcaster' ? START_BITRATE : undefined).map((joined) => ({
        payload,
        config: joined,
      })),
      { payload: rtx, config: `apt=${payload}` },
    ]),
    ...(options.role === 'broadcaster'
      ? transportCc(
          codecs.map((codec) => codec.payload),
          feedback,
        )
      : { rtcpFb: feedback, ...announcedStream(options, 'video') }),
  };
}

/** The format parameters that there are, in one attribute or none. */
const parameters = (...parts: readonly (string | undefined)[]): readonly string[] => {
  const joined = parts.filter((part) => part !== undefined).join(';');
  return joined === '' ? [] : [joined];
};

/**
 * Where libwebrtc starts to look for the bitrate that the path takes, in kbit/s. From its own 300 the first keyframe of a replacement
 * takes a fifth of a second. Other browsers ignore it.
 */
const START_BITRATE = 'x-google-start-bitrate=1000';

/** Format parameters by codec. */
const FORMAT: Readonly<Record<VideoCodec, string | undefined>> = {
  VP8: undefined,
  H264: 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f',
};

function transportAttributes(options: OfferOptions, mid: string) {
  return {
    port: 9,
    protocol: 'UDP/TLS/RTP/SAVPF',
    connection: { version: 4, ip: '0.0.0.0' },
    rtcp: { port: 9, netType: 'IN', ipVer: 4, address: '0.0.0.0' },
    iceUfrag: options.ice.ufrag,
    icePwd: options.ice.pwd,
    fingerprint: {
      type: options.fingerprint.algorithm,
      hash: toHex(options.fingerprint.digest)
        .toUpperCase()
        .replace(/..(?=.)/g, '$&:'),
    },
    setup: 'active',
    mid,
    direction: options.role === 'broadcaster' ? ('recvonly' as const) : ('sendonly' as const),
    rtcpMux: 'rtcp-mux' as const,
    rtcpRsize: 'rtcp-rsize' as const,
    candidates: options.candidates.map((address, i) => ({
      foundation: String(i + 1),
      component: 1,
      transport: 'udp',
      priority: HOST_PRIORITY - i * 256,
      ip: address.ip,
      port: address.port,
      type: 'host',
    })),
    endOfCandidates: 'end-of-candidates' as const,
  };
}

/** Transport-wide feedback toward the broadcaster, whose bitrate it steers; never toward viewers. */
function transportCc(
  payloads: readonly number[],
  feedback: readonly { payload: number; type: string; subtype?: string }[],
) {
  return {
    ext: [
      {
        value: EXTENSION_ID.transportSequence,
        uri: 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01',
      },
    ],
    rtcpFb: [...feedback, ...payloads.map((payload) => ({ payload, type: 'transport-cc' }))],
  };
}

function announcedStream(
  { cname, streams }: OfferOptions,
  kind: 'audio' | 'video',
): Pick<sdpTransform.MediaDescription, 'msid' | 'ssrcGroups' | 'ssrcs'> {
  const stream = streams.find((candidate) => candidate.kind === kind);
  if (stream === undefined) return {};
  const ssrcs = stream.rtxSsrc === 0 ? [stream.ssrc] : [stream.ssrc, stream.rtxSsrc];
  return {
    msid: [{ id: 'rekeycast', appdata: kind }],
    ssrcGroups: ssrcs.length === 2 ? [{ semantics: 'FID', ssrcs: ssrcs.join(' ') }] : [],
    ssrcs: ssrcs.map((id) => ({ id, attribute: 'cname', value: cname })),
  };
}
