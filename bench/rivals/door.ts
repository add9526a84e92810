import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { ClientMessage, ServerMessage } from '../../src/signaling/protocol.ts';
import type { Address } from '../../src/transport/address.ts';
import { LOOPBACK } from '../../test/support/ports.ts';
import { addressIn } from '../candidate.ts';

/** One transport of another server, as a viewer has to know it. */
interface Transport {
  readonly ufrag: string;
  readonly pwd: string;
  /** As in SDP: `sha-256 AB:CD:…`. */
  readonly fingerprint: string;
  readonly address: Address;
}

/** What came of it: the server's part is done once its half of the answer has been taken. */
export interface Offered {
  readonly transport: Transport;
  readonly answered: (sdp: string) => Promise<void>;
}

/** Another server's viewers come as our own do, so that the load is the same: by the page's protocol. `open` makes a transport for each. */
export async function openDoor(
  rtpPort: number,
  processes: readonly number[],
  open: () => Promise<Offered>,
): Promise<void> {
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  server.on('connection', (socket) => {
    const say = (message: ServerMessage): void => socket.send(JSON.stringify(message));
    let answered: Offered['answered'] | undefined;
    socket.on('error', () => undefined);
    socket.on('message', async (data) => {
      const message = JSON.parse(String(data)) as ClientMessage;
      if (message.type === 'answer') await answered?.(message.sdp);
      if (message.type !== 'join') return;
      const offered = await open();
      answered = offered.answered;
      say({
        type: 'offer',
        kind: 'first',
        connection: 1,
        offer: 1,
        epoch: 0,
        role: 'viewer',
        sdp: sdpOf(offered.transport),
      });
    });
  });
  http.listen(0, LOOPBACK);
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;
  process.send?.({ url: `http://${LOOPBACK}:${port}/`, rtpPort, processes });
}

/** As much of an offer as the viewers of the benchmark read. */
function sdpOf({ ufrag, pwd, fingerprint, address: { ip, port } }: Transport): string {
  return [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'm=video 9 UDP/TLS/RTP/SAVPF 96 97',
    'c=IN IP4 0.0.0.0',
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:${fingerprint}`,
    'a=setup:active',
    'a=mid:0',
    `a=candidate:1 1 udp 1 ${ip} ${port} typ host`,
    '',
  ].join('\r\n');
}

/** A line of SDP by its name, of the first medium that has it. */
export function attribute(sdp: string, name: string): string {
  const [, value] = new RegExp(`^a=${name}:(.+?)\\r?$`, 'm').exec(sdp) ?? [];
  if (value === undefined) throw new Error(`there is no ${name} in\n${sdp}`);
  return value;
}

/** What a viewer has to know of an offer. */
export const transportIn = (sdp: string): Transport => ({
  ufrag: attribute(sdp, 'ice-ufrag'),
  pwd: attribute(sdp, 'ice-pwd'),
  fingerprint: attribute(sdp, 'fingerprint'),
  address: candidateIn(sdp),
});

/** The viewer's transport, and the one medium of the other server's offer. */
export function answerTo(offer: string, answer: string): string {
  const taken = ['ice-ufrag', 'ice-pwd', 'fingerprint'].map((name) => `a=${name}:${attribute(answer, name)}`);
  const kept = offer
    .split('\r\n')
    .filter(
      (line) =>
        line !== '' && !/^a=(ice-|fingerprint|candidate|end-of|ssrc|msid|setup|sendonly|extmap)/.test(line),
    );
  return [...kept, ...taken, 'a=setup:passive', 'a=recvonly', ''].join('\r\n');
}

function candidateIn(sdp: string): Address {
  const address = addressIn(sdp);
  if (address === undefined) throw new Error(`there is no candidate in\n${sdp}`);
  return address;
}
