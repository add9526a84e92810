import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fingerprintOf } from '../../../src/client/certificate.ts';
import { parseAnswer } from '../../../src/signaling/sdp.ts';
import { DIGEST_BYTES } from '../../../src/transport/dtls/fingerprint.ts';
import { ICE_PWD, ICE_UFRAG } from '../../../src/transport/ice/ice-lite.ts';
import { bufferOf, utf8 } from '../../../src/util/bytes.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateList, mutateText } from '../mutate.ts';
import type { Random } from '../random.ts';

/** What Chromium and Firefox have answered. */
const DIRECTORY = join('test', 'fixtures', 'sdp');
const ANSWERS = ['chromium-viewer', 'chromium-broadcaster', 'firefox-viewer', 'firefox-broadcaster'];

/** Lines that the parser has a rule for, of the kind that regular expressions backtrack over. */
const LINES = [
  'a=imageattr:97 send [x=800,y=640,sar=1.1,q=0.6] [x=480,y=320] recv [x=330,y=250]',
  'a=simulcast:send 1,2,3;~4,~5 recv 6;~7,~8',
  'a=simulcast: recv pt=97;98 send pt=97',
  'a=rid:1 send max-width=1280;max-height=720;max-fps=30;depend=0',
  'a=candidate:0 1 UDP 2113667327 203.0.113.1 54400 typ host raddr 203.0.113.2 rport 9 tcptype active generation 0 network-id 3 network-cost 10',
  'a=remote-candidates:1 203.0.113.1 54400 2 203.0.113.1 54401',
  'a=ssrc-group:FID 3004364195 1080772241',
  'a=ssrc:2566107569 cname:t9YU8M1UxTF8Y1A1',
  'a=source-filter: incl IN IP4 239.5.2.31 10.1.15.5',
  'a=ts-refclk:ptp=IEEE1588-2008:00-50-C2-FF-FE-90-04-37:0',
  'a=mediaclk:id=39-A7-94-FF-FE-07-CB-D0 direct=963214424 rate=1000/1001',
  'a=floorid:1 m-stream:10 mstrm:11',
  'a=fingerprint:SHA-384 00:11:22',
  'a=ice-ufrag:1234',
  'a=ice-ufrag:1e9',
  'a=setup:actpass',
  'a=group:BUNDLE 0 1',
];

export const sdp: FuzzTarget = {
  id: 'fuzz-sdp',
  claim:
    'an answer that is taken has credentials of ICE and a digest of its size, and none takes more time than its length',
  inputs: 4_000,
  maxBytes: 32 * 1_024,
  reaches: ['both', 'audio', 'video', 'neither', 'refused'],
  seeds: () => [
    ...ANSWERS.map((name) => utf8(answerOf(name))),
    utf8(`${answerOf(ANSWERS[0]!)}${LINES.join('\r\n')}\r\n`),
    // One of them, or both, refused or still.
    utf8(answerOf(ANSWERS[0]!).replace('m=audio 9', 'm=audio 0')),
    utf8(answerOf(ANSWERS[2]!).replace('m=video 9', 'm=video 0')),
    utf8(answerOf(ANSWERS[1]!).replaceAll('a=sendonly', 'a=inactive')),
  ],
  mutate: (input, random) => {
    const lines = bufferOf(input).toString('utf8').split('\r\n');
    const changed = mutateList<string>(
      lines,
      random,
      (line) => (random.chance(0.3) ? mutateText(line, random) : swapValue(line, random)),
      () => random.pick(LINES),
    );
    return utf8(changed.join(random.pick(['\r\n', '\r\n', '\r\n', '\n', '\r'])));
  },
  run: (input) => {
    const text = bufferOf(input).toString('utf8');
    const announced = fingerprintOf(text);
    if (announced !== undefined && !/^([0-9a-f]{2})+$/.test(announced.value)) throw new Error('no digest');
    const answer = parseAnswer(text);
    if (answer === undefined) return 'refused';
    const { ufrag, pwd } = answer.ice;
    if (!ICE_UFRAG.test(ufrag) || !ICE_PWD.test(pwd)) throw new Error('credentials that are none');
    for (const { algorithm, digest } of answer.fingerprints)
      if (digest.length !== DIGEST_BYTES[algorithm]) throw new Error('a digest of another size');
    if (answer.fingerprints.length === 0) throw new Error('nothing to know the peer by');
    if (answer.audio && answer.video) return 'both';
    return answer.audio ? 'audio' : answer.video ? 'video' : 'neither';
  },
};

const answerOf = (name: string): string => readFileSync(join(DIRECTORY, `${name}.sdp`), 'utf8');

/** Another value behind the name of an attribute. */
function swapValue(line: string, random: Random): string {
  const name = line.slice(0, line.indexOf(':') + 1);
  return random.chance(0.5)
    ? name + random.pick(['', '0', 'passive', 'active', 'x'.repeat(300), 'sha-256 AA:BB', '1 2 3', '*'])
    : line.replace(
        /passive|sendonly|recvonly|inactive|9/,
        random.pick(['passive', 'inactive', 'sendrecv', '0', 'holdconn']),
      );
}
