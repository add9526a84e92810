import { CODECS } from '../../../src/room/media.ts';
import { formatPosition } from '../../../src/signaling/protocol.ts';
import { ByteReader, bufferOf, concat, utf8 } from '../../../src/util/bytes.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';
import { prepareBroadcast, WatchedBroadcast } from './broadcast.ts';
import { mutateJsonText, SAMPLE_CLIENT } from './messages.ts';

const OP = { open: 0, resume: 1, say: 2, answer: 3, leave: 4, time: 5, rekey: 6, datagram: 7 } as const;
const OPS = 8;
const PAGES = 4;

const step = (op: number, page: number, data: Uint8Array = new Uint8Array(0)): Step => ({
  op,
  data: concat(Uint8Array.of(page), data),
});
const say = (page: number, message: unknown): Step => step(OP.say, page, utf8(JSON.stringify(message)));
const join = (page: number): readonly Step[] => [step(OP.open, page), say(page, SAMPLE_CLIENT[0])];
const time = (ms: number): Step => step(OP.time, 0, Uint8Array.of(ms >> 16, (ms >> 8) & 0xff, ms & 0xff));
const resume = (page: number, position: string): Step =>
  step(OP.resume, page, concat(Uint8Array.of(0), utf8(position)));

export const signaling: FuzzTarget = {
  id: 'fuzz-signaling',
  claim:
    'whatever pages say in whatever order, the server goes on, answers each in few words, and can write what it knows',
  inputs: 2_400,
  maxBytes: 12 * 1_024,
  reaches: ['sessions', 'no session', 'resumed', 'TOKEN_UNKNOWN', 'SDP_INVALID', 'MESSAGE_INVALID'],
  prepare: prepareBroadcast,
  seeds: () =>
    [
      [...join(0), step(OP.answer, 0), time(100), ...join(1), step(OP.answer, 1), time(20_000)],
      [
        ...join(0),
        say(0, SAMPLE_CLIENT[1]),
        step(OP.leave, 0),
        resume(1, formatPosition({ connection: 1, epoch: 0, settled: true })),
      ],
      [
        ...join(0),
        step(OP.leave, 0),
        resume(0, formatPosition({ connection: 999_999_999, epoch: 999_999_999, settled: false })),
        time(16_000),
        step(OP.rekey, 0),
      ],
      [...join(0), ...SAMPLE_CLIENT.map((message) => say(0, message)), time(70_000)],
      [
        ...join(0),
        ...join(1),
        say(0, SAMPLE_CLIENT[6]),
        say(1, SAMPLE_CLIENT[5]),
        step(OP.answer, 1),
        step(OP.answer, 0),
      ],
      [step(OP.open, 0), say(0, SAMPLE_CLIENT[2]), step(OP.resume, 2, Uint8Array.of(9, 1))],
      [...join(0), say(0, { ...SAMPLE_CLIENT[2], sdp: 'v=0' }), ...join(0)],
      [
        ...join(0),
        step(OP.answer, 0),
        step(OP.datagram, 0, Uint8Array.of(0x16, 0xfe, 0xfd)),
        time(61_000),
        time(600_000),
      ],
    ].map(encodeScript),
  mutate: (input, random) =>
    mutateScript(input, random, OPS, (data) =>
      random.chance(0.5)
        ? mutateBytes(data, random, data)
        : concat(data.subarray(0, 1), mutateJsonText(data.subarray(1), random)),
    ),
  run: (input) => {
    const server = new WatchedBroadcast();
    for (const one of decodeScript(input)) play(server, one);
    server.finish();
    const errors = server.said.flatMap((message) => (message.type === 'error' ? [message.code] : []));
    if (server.said.some((message) => message.type === 'welcome' && message.resumed)) return 'resumed';
    return errors[0] ?? ([...server.broadcast.sessions].length > 0 ? 'sessions' : 'no session');
  },
};

function play(server: WatchedBroadcast, { op, data }: Step): void {
  const reader = new ByteReader(data);
  const page = reader.u8() % PAGES;
  switch (op % OPS) {
    case OP.open:
      server.open(page, undefined, '');
      break;
    case OP.resume: {
      const token = server.tokens.at(-1 - reader.u8()) ?? 'of nobody';
      server.open(page, token, bufferOf(reader.rest()).toString('utf8'));
      break;
    }
    case OP.say:
      server.say(page, bufferOf(reader.rest()).toString('utf8'));
      break;
    case OP.answer: {
      const offer = server.offers.at(-1 - (reader.u8() % 4));
      if (offer === undefined) break;
      const { connection, offer: number } = offer;
      server.say(page, JSON.stringify({ type: 'answer', connection, offer: number, sdp: ANSWER }));
      break;
    }
    case OP.leave:
      server.leave(page);
      break;
    case OP.time:
      server.pass(reader.u24());
      break;
    case OP.rekey:
      server.broadcast.rekeyAll(server.now);
      server.drain();
      break;
    default:
      server.receive(reader.rest(), { ip: '192.0.2.1', port: 4_000 + page });
  }
}

/** An answer with everything that the server asks for. */
const ANSWER = ['audio', 'video']
  .map((kind, mid) =>
    [
      `m=${kind} 9 UDP/TLS/RTP/SAVPF ${kind === 'audio' ? CODECS.opus.payloadType : CODECS.VP8.payloadType}`,
      'a=ice-ufrag:Rufr',
      'a=ice-pwd:ABCDEFGHIJKLMNOPQRSTUVWX',
      `a=fingerprint:sha-256 ${new Array(32).fill('AB').join(':')}`,
      'a=setup:passive',
      `a=mid:${mid}`,
    ].join('\r\n'),
  )
  .reduce(
    (session, section) => `${session}${section}\r\n`,
    'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n',
  );
