import { connect } from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { HttpPort } from '../../../src/signaling/http.ts';
import { KnownOrigins } from '../../../src/signaling/origin.ts';
import { formatPosition, SUBPROTOCOL } from '../../../src/signaling/protocol.ts';
import { createSite } from '../../../src/signaling/site.ts';
import { PageSockets } from '../../../src/signaling/ws.ts';
import { bufferOf, concat, utf8 } from '../../../src/util/bytes.ts';
import { pagePort } from '../../support/page-port.ts';
import { LOOPBACK } from '../../support/ports.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { bigEndian, mutateBytes, mutateList, mutateText } from '../mutate.ts';
import { SAMPLE_CLIENT } from './messages.ts';

/** What may be answered: nothing else is said on purpose. */
const STATUSES = [101, 200, 400, 403, 404, 405, 408, 413, 414, 421, 426, 431, 503];
const SWITCHING = 101;
/** No client is kept for longer: what is not answered by then never will be. */
const PATIENCE_MS = 10_000;
const END = '\r\n\r\n';

const request = (target: string, ...lines: readonly string[]): Uint8Array =>
  utf8([`GET ${target} HTTP/1.1`, 'Host: localhost', ...lines].join('\r\n') + END);
const upgrade = (...lines: readonly string[]): Uint8Array =>
  request(
    '/ws',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...lines,
  );
const OFFERED = [
  'Sec-WebSocket-Protocol:',
  `${SUBPROTOCOL}, rekeycast.token.AAAA, ${formatPosition({ connection: 1, epoch: 2, settled: true })}`,
].join(' ');

/** A client's frame (RFC 6455 §5.2) with a mask of zeroes. */
function frame(opcode: number, payload: Uint8Array): Uint8Array {
  const length =
    payload.length < 126
      ? Uint8Array.of(0x80 | payload.length)
      : concat(Uint8Array.of(0xfe), bigEndian(payload.length, 2));
  return concat(Uint8Array.of(0x80 | opcode), length, new Uint8Array(4), payload);
}

interface Served {
  readonly port: HttpPort;
  readonly pages: PageSockets;
  heard: number;
  uncaught: unknown;
}
let served: Served | undefined;
const note = (cause: unknown): void => {
  if (served !== undefined) served.uncaught = cause;
};

export const http: FuzzTarget = {
  id: 'fuzz-http',
  claim:
    'whatever comes over a connection is answered with a status that is meant, or a message of the protocol, or cut off',
  inputs: 600,
  maxBytes: 4_096,
  reaches: ['200', '101', '101 and messages', '400', '403', '404', '405'],
  prepare: async () => {
    const origins = new KnownOrigins([], 'localhost');
    const pages = new PageSockets(
      {
        opened: (page) => page.send({ type: 'room', viewers: 0, onAir: false }),
        message: () => {
          if (served !== undefined) served.heard++;
        },
        closed: () => undefined,
      },
      origins,
    );
    const app = createSite(pathToFileURL(`${resolve('public')}/`), () => true);
    const port = await pagePort(() => pages, { app, origins });
    served = { port, pages, heard: 0, uncaught: undefined };
    process.on('uncaughtException', note);
    process.on('unhandledRejection', note);
  },
  dispose: () => {
    process.off('uncaughtException', note);
    process.off('unhandledRejection', note);
    served?.pages.close(1001, 'done');
    served?.port.close();
    served = undefined;
  },
  seeds: () => [
    request('/'),
    request('/readyz'),
    request('/nowhere'),
    concat(request('/icon.svg'), request('/style.css')),
    request('http://localhost:8080/readyz?x=%00'),
    utf8(`POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked${END}0${END}`),
    utf8(`GET / HTTP/1.1\r\nHost: a b\r\nHost: c${END}`),
    upgrade(OFFERED, 'Origin: https://attacker.example'),
    concat(
      upgrade(OFFERED, 'Origin: http://localhost'),
      ...SAMPLE_CLIENT.map((one) => frame(1, utf8(JSON.stringify(one)))),
    ),
    concat(upgrade(OFFERED), frame(9, utf8('ping')), frame(2, utf8('binary')), frame(8, bigEndian(1000, 2))),
    concat(upgrade(OFFERED), frame(1, new Uint8Array(3_000).fill(0x20))),
  ],
  mutate: (input, random) => {
    const text = bufferOf(input).toString('latin1');
    const head = text.slice(0, text.indexOf(END));
    const rest = input.subarray(head.length);
    if (random.chance(0.4)) return concat(input.subarray(0, head.length), mutateBytes(rest, random, rest));
    const lines = mutateList(
      head.split('\r\n'),
      random,
      (line) => mutateText(line, random),
      () =>
        random.pick([
          'Host: localhost',
          'Upgrade: h2c',
          'Content-Length: 1',
          OFFERED,
          'Origin: null',
          'Connection: close',
        ]),
    );
    return concat(utf8(lines.join('\r\n')), rest);
  },
  run: async (input) => {
    if (served === undefined) throw new Error('nothing is served');
    const before = served.heard;
    const answer = await ask(served.port.port, input);
    if (served.uncaught !== undefined) throw new Error('thrown out of a handler', { cause: served.uncaught });
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
    if (answer !== '' && !STATUSES.includes(status)) throw new Error(`answered ${answer.slice(0, 60)}`);
    if (served.heard > before && status !== SWITCHING) throw new Error('a message without a WebSocket');
    return `${status === 0 ? 'cut off' : status}${served.heard > before ? ' and messages' : ''}`;
  },
};

/** Sends it all, and gives what comes back until the server has closed. */
function ask(port: number, input: Uint8Array): Promise<string> {
  return new Promise((answered, failed) => {
    const socket = connect({ host: LOOPBACK, port, allowHalfOpen: true });
    let answer = '';
    const stuck = setTimeout(() => failed(new Error('neither answered nor cut off')), PATIENCE_MS);
    const finish = (): void => {
      clearTimeout(stuck);
      // With a reset: a port that waits out its time is not to be had for the next input.
      socket.resetAndDestroy();
      answered(answer);
    };
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.on('end', finish);
    socket.on('error', finish);
    socket.end(input);
  });
}
