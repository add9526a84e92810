import { parseRtp } from '../../src/rtp/packet.ts';
import type { Role, ServerMessage } from '../../src/signaling/protocol.ts';
import { classifyDatagram } from '../../src/transport/demux.ts';
import { until } from './wait.ts';
import { WsClient } from './ws-client.ts';

type Offer = Extract<ServerMessage, { type: 'offer' }>;

/** An RTCPeerConnection of some other stack. */
export interface ForeignPeer {
  /** Applies the offer and gives the answer's SDP. */
  answer(offer: string): Promise<string>;
  /** Sends an RTP packet of the video. */
  send(packet: Uint8Array): void;
  close(): void;
}

/** Makes a peer; it hands every packet it has decrypted to `receive`. */
export type ForeignStack = (role: Role, receive: (packet: Uint8Array) => void) => ForeignPeer;

/** A page without a browser, over real sockets, on a WebRTC stack that is not ours. It takes new keys by replacement. */
export class HeadlessPage {
  readonly #url: string;
  readonly #stack: ForeignStack;
  readonly #peers = new Map<number, ForeignPeer>();
  #socket: WsClient | undefined;
  #heard = 0;
  #token: string | undefined;
  #current: number | undefined;
  #playing = new Set<number>();
  #pump: NodeJS.Timeout | undefined;
  role: Role | undefined;
  epoch = -1;
  /** Video packets in the order of arrival, without doubles. */
  readonly video: { sequenceNumber: number; ssrc: number; connection: number }[] = [];
  #seen = new Set<number>();

  constructor(url: string, stack: ForeignStack) {
    this.#url = url;
    this.#stack = stack;
  }

  /** RTCPeerConnections it has now: two while one replaces the other. */
  get connections(): number {
    return this.#peers.size;
  }

  /** Connects or comes back, and keeps answering. */
  async open(): Promise<void> {
    clearInterval(this.#pump);
    this.#heard = 0;
    const token = this.#token;
    this.#socket = await until('the WebSocket opens', () =>
      WsClient.connect(this.#url, token === undefined ? {} : { token }),
    );
    if (token === undefined) this.#socket.say({ type: 'join', capabilities: { rekeyInPlace: false } });
    this.#pump = setInterval(() => this.#read(), 10);
  }

  close(): void {
    clearInterval(this.#pump);
    this.#socket?.close();
    for (const peer of this.#peers.values()) peer.close();
  }

  /** Sends a packet of the broadcaster's video on every connection there is. */
  send(packet: Uint8Array): void {
    for (const peer of this.#peers.values()) peer.send(packet);
  }

  #read(): void {
    const messages = this.#socket?.messages ?? [];
    for (; this.#heard < messages.length; this.#heard++) this.#handle(messages[this.#heard]!);
  }

  #handle(message: ServerMessage): void {
    if (message.type === 'welcome') {
      this.#token = message.token;
      this.role = message.role;
      this.#socket?.say({ type: 'confirm' });
    } else if (message.type === 'offer') void this.#answer(message);
    else if (message.type === 'keyed') {
      this.epoch = Math.max(this.epoch, message.epoch);
      if (this.role === 'broadcaster') this.#socket?.say({ type: 'playing', connection: message.connection });
    } else if (message.type === 'close') {
      this.#peers.get(message.connection)?.close();
      this.#peers.delete(message.connection);
    }
  }

  async #answer({ connection, offer, role, sdp }: Offer): Promise<void> {
    this.role = role;
    const peer = this.#stack(role, (packet) => this.#receive(connection, packet));
    this.#peers.get(connection)?.close();
    this.#peers.set(connection, peer);
    this.#current ??= connection;
    const socket = this.#socket;
    socket?.say({ type: 'answer', connection, offer, sdp: await peer.answer(sdp) });
  }

  #receive(connection: number, bytes: Uint8Array): void {
    if (classifyDatagram(bytes) !== 'srtp') return;
    const packet = parseRtp(bytes);
    if (packet === undefined || packet.payloadType !== 96) return;
    if (!this.#playing.has(connection) && this.#current !== connection) {
      this.#playing.add(connection);
      this.#socket?.say({ type: 'playing', connection });
    }
    if (this.#seen.has(packet.sequenceNumber)) return;
    this.#seen.add(packet.sequenceNumber);
    this.video.push({ sequenceNumber: packet.sequenceNumber, ssrc: packet.ssrc, connection });
  }
}
