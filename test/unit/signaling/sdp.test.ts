import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import * as sdpTransform from 'sdp-transform';
import { describe, expect, it } from 'vitest';
import type { RoomState } from '../../../src/room/state.ts';
import { createOffer, type OfferOptions, parseAnswer } from '../../../src/signaling/sdp.ts';
import { toHex } from '../../../src/util/bytes.ts';

const stream = { limit: 0, timestamp: 0, timestampAt: 0, source: undefined };
const ROOM: RoomState = {
  producer: '',
  streams: [
    { ...stream, kind: 'audio', ssrc: 1_111, rtxSsrc: 0 },
    { ...stream, kind: 'video', ssrc: 2_222, rtxSsrc: 3_333 },
  ],
};

const OPTIONS: OfferOptions = {
  role: 'viewer',
  connection: 4,
  offer: 7,
  ice: { ufrag: 'abcd+/12', pwd: 'A1+/'.repeat(6) },
  fingerprint: { algorithm: 'sha-256', digest: new Uint8Array(32).fill(0xa7) },
  candidates: [
    { ip: '192.0.2.1', port: 8080 },
    { ip: '2001:db8::1', port: 8080 },
  ],
  videoCodecs: ['VP8', 'H264'],
  cname: 'rekeycast-1-2',
  streams: ROOM.streams,
};

const offered = (options: Partial<OfferOptions> = {}) =>
  sdpTransform.parse(createOffer({ ...OPTIONS, ...options }));

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/sdp/${name}.sdp`, import.meta.url), 'utf8');

/** Answers of Chromium 156 and Firefox ESR 153 to offers of ours. */
const ANSWERS = ['chromium-viewer', 'chromium-broadcaster', 'firefox-viewer', 'firefox-broadcaster'];

describe('createOffer', () => {
  it('offers two bundled sections, audio then video, as the lite agent and the active side', () => {
    const session = offered();
    expect(session.icelite).toBe('ice-lite');
    expect(session.groups).toEqual([{ type: 'BUNDLE', mids: '0 1' }]);
    expect(session.media.map(({ type }) => type)).toEqual(['audio', 'video']);
    for (const media of session.media) {
      expect(media).toMatchObject({
        protocol: 'UDP/TLS/RTP/SAVPF',
        setup: 'active',
        iceUfrag: OPTIONS.ice.ufrag,
        icePwd: OPTIONS.ice.pwd,
        rtcpMux: 'rtcp-mux',
        rtcpRsize: 'rtcp-rsize',
        endOfCandidates: 'end-of-candidates',
      });
    }
  });

  it('numbers itself by connection and offer', () => {
    expect(offered().origin).toMatchObject({ sessionId: 4, sessionVersion: 7 });
  });

  it('carries every candidate, the first with the highest priority', () => {
    const candidates = offered().media[0]!.candidates!;
    expect(candidates.map(({ ip, port, type }) => [ip, port, type])).toEqual([
      ['192.0.2.1', 8080, 'host'],
      ['2001:db8::1', 8080, 'host'],
    ]);
    expect(candidates[0]!.priority).toBeGreaterThan(Number(candidates[1]!.priority));
    expect(new Set(candidates.map(({ foundation }) => foundation)).size).toBe(2);
  });

  it.each(['sha-256', 'sha-512'] as const)('shows the certificate under %s', (algorithm) => {
    const digest = new Uint8Array(algorithm === 'sha-256' ? 32 : 64).map((_, i) => i * 3);
    for (const { fingerprint } of offered({ fingerprint: { algorithm, digest } }).media) {
      expect(fingerprint!.type).toBe(algorithm);
      expect(fingerprint!.hash).toMatch(/^[0-9A-F]{2}(:[0-9A-F]{2})+$/);
      expect(fingerprint!.hash.replaceAll(':', '').toLowerCase()).toBe(toHex(digest));
    }
  });

  it('receives from a broadcaster, with transport-wide feedback and without streams of its own', () => {
    for (const media of offered({ role: 'broadcaster' }).media) {
      expect(media.direction).toBe('recvonly');
      expect(media.ext?.length).toBe(1);
      expect(media.rtcpFb?.some(({ type }) => type === 'transport-cc')).toBe(true);
      expect(media.ssrcs).toBeUndefined();
    }
  });

  it('sends the streams of the room to a viewer, without transport-wide feedback', () => {
    const { media } = offered();
    expect(media.map(({ direction }) => direction)).toEqual(['sendonly', 'sendonly']);
    expect(media[0]!.ssrcs!.map(({ id }) => id)).toEqual([1_111]);
    expect(media[1]!.ssrcs!.map(({ id }) => id)).toEqual([2_222, 3_333]);
    expect(media[1]!.ssrcGroups).toEqual([{ semantics: 'FID', ssrcs: '2222 3333' }]);
    for (const section of media) {
      expect(section.ext ?? []).toEqual([]);
      expect((section.rtcpFb ?? []).some(({ type }) => type === 'transport-cc')).toBe(false);
    }
  });

  it.each([
    [['VP8'], ['VP8', 'rtx']],
    [['H264'], ['H264', 'rtx']],
    [
      ['VP8', 'H264'],
      ['VP8', 'rtx', 'H264', 'rtx'],
    ],
    [
      ['H264', 'VP8'],
      ['H264', 'rtx', 'VP8', 'rtx'],
    ],
  ] as const)('offers %j in this order, each with its retransmission', (videoCodecs, names) => {
    const video = offered({ videoCodecs }).media[1]!;
    expect(video.rtp.map(({ codec }) => codec)).toEqual(names);
    expect(video.payloads).toBe(video.rtp.map(({ payload }) => payload).join(' '));
    for (const [i, { payload }] of video.rtp.entries()) {
      if (i % 2 === 0) continue;
      expect(video.fmtp).toContainEqual({ payload, config: `apt=${video.rtp[i - 1]!.payload}` });
    }
  });
});

describe('parseAnswer', () => {
  it.each(ANSWERS)('takes what a browser says: %s', (name) => {
    const text = fixture(name);
    const answer = parseAnswer(text)!;
    expect(answer).toMatchObject({
      ice: { ufrag: /a=ice-ufrag:(\S+)/.exec(text)![1], pwd: /a=ice-pwd:(\S+)/.exec(text)![1] },
      video: true,
      audio: true,
    });
    const hash = /a=fingerprint:sha-256 (\S+)/.exec(text)![1]!;
    expect(answer.fingerprints.map(({ algorithm }) => algorithm)).toEqual(['sha-256']);
    expect(toHex(answer.fingerprints[0]!.digest)).toBe(hash.replaceAll(':', '').toLowerCase());
  });

  const text = fixture('chromium-viewer');
  const hash = /a=fingerprint:sha-256 (\S+)/.exec(text)![1]!;
  const fingerprint = (value: string) => text.replaceAll(/a=fingerprint:.*/g, `a=fingerprint:${value}`);

  it.each([
    ['sha-384', 48],
    ['sha-512', 64],
    ['SHA-256', 32],
  ])('takes a fingerprint under %s', (algorithm, length) => {
    const answer = parseAnswer(fingerprint(`${algorithm} ${Array(length).fill('ab').join(':')}`))!;
    expect(answer.fingerprints).toEqual([
      { algorithm: algorithm.toLowerCase(), digest: new Uint8Array(length).fill(0xab) },
    ]);
  });

  it.each([
    ['no algorithm that is known', `md5 ${hash}`],
    ['a weak algorithm', `sha-1 ${Array(20).fill('AB').join(':')}`],
    ['a digest that is too short', `sha-256 ${hash.slice(3)}`],
    ['a digest that is too long', `sha-256 ${hash}:00`],
    ['a digest of another algorithm', `sha-512 ${hash}`],
    ['a digest without colons', `sha-256 ${hash.replaceAll(':', '')}`],
    ['a digest that is no hex', `sha-256 ${hash.replace(/^../, 'GG')}`],
    ['a number for an algorithm', `256 ${hash}`],
    ['a number for a digest', 'sha-256 12'],
    ['nothing', ''],
  ])('refuses a fingerprint with %s', (_what, value) => {
    expect(parseAnswer(fingerprint(value))).toBeUndefined();
  });

  it.each([
    ['without a fingerprint', text.replaceAll(/a=fingerprint:.*\r\n/g, '')],
    ['without an ICE ufrag', text.replaceAll(/a=ice-ufrag:.*\r\n/g, '')],
    ['with an ICE ufrag that is too short', text.replaceAll(/a=ice-ufrag:.*/g, 'a=ice-ufrag:abc')],
    ['with an ICE ufrag of other characters', text.replaceAll(/a=ice-ufrag:.*/g, 'a=ice-ufrag:ab:cd')],
    [
      'with an ICE ufrag that is too long',
      text.replaceAll(/a=ice-ufrag:.*/g, `a=ice-ufrag:${'a'.repeat(257)}`),
    ],
    ['that wants to be active', text.replaceAll('a=setup:passive', 'a=setup:active')],
    ['that leaves the side open', text.replaceAll('a=setup:passive', 'a=setup:actpass')],
    ['without a side', text.replaceAll('a=setup:passive\r\n', '')],
    ['with no section', text.slice(0, text.indexOf('m=audio'))],
    ['with one section', text.slice(0, text.indexOf('m=video'))],
    ['with a third section', text + text.slice(text.indexOf('m=video'))],
    ['with video first', swapSections(text)],
    ['that refuses both sections', text.replaceAll(/m=(audio|video) 9/g, 'm=$1 0')],
    ['that is empty', ''],
  ])('refuses an answer %s', (_what, sdp) => {
    expect(parseAnswer(sdp)).toBeUndefined();
  });

  it('takes an answer without video for one without video', () => {
    expect(parseAnswer(text.replace('m=video 9', 'm=video 0'))).toMatchObject({ audio: true, video: false });
    const inactive = text.replace(/(m=video[\s\S]*)a=recvonly/, '$1a=inactive');
    expect(parseAnswer(inactive)).toMatchObject({ audio: true, video: false });
  });

  it('takes an answer without audio for one without audio, with the parameters of the video', () => {
    const video = text.slice(text.indexOf('m=video'));
    const refused = text.slice(0, text.indexOf('m=audio'));
    expect(
      parseAnswer(`${refused}m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n${video}`),
    ).toMatchObject({
      audio: false,
      video: true,
      ice: { ufrag: /a=ice-ufrag:(\S+)/.exec(video)![1], pwd: /a=ice-pwd:(\S+)/.exec(video)![1] },
    });
  });

  it('never throws on garbage', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2_000 }), (garbage) => {
        expect(parseAnswer(garbage)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it('never throws on an answer with lines that are changed, lost, doubled or moved', () => {
    const lines = ANSWERS.flatMap((name) => fixture(name).split('\r\n'));
    const values = [
      '1',
      '-0',
      '1 2',
      '0x1',
      '',
      ' ',
      '__proto__',
      'constructor 1',
      '9'.repeat(30),
      'a:b=c',
      '\0',
    ];
    const line = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...lines) },
      fc
        .tuple(fc.constantFrom(...lines), fc.constantFrom(...values))
        .map(([whole, value]) => whole.replace(/[:=][^:=]*$/, (end) => end[0] + value)),
      fc.tuple(fc.constantFrom(...lines), fc.nat(80)).map(([whole, end]) => whole.slice(0, end)),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 80 }), (changed) => {
        const answer = parseAnswer(changed.join('\r\n'));
        if (answer === undefined) return;
        expect(answer.ice.ufrag).toMatch(/^[A-Za-z0-9+/]{4,256}$/);
        expect(answer.ice.pwd).toMatch(/^[A-Za-z0-9+/]{22,256}$/);
        expect(answer.fingerprints.length).toBe(1);
      }),
      { numRuns: 500 },
    );
  });
});

function swapSections(text: string): string {
  const [audio, video] = [text.indexOf('m=audio'), text.indexOf('m=video')];
  return text.slice(0, audio) + text.slice(video) + text.slice(audio, video);
}
