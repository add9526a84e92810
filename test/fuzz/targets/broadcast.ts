import { Broadcast } from '../../../src/server/broadcast.ts';
import type { BroadcastOutput } from '../../../src/server/broadcast-io.ts';
import { parseClientMessage } from '../../../src/signaling/messages.ts';
import { type PagePosition, parsePosition, type ServerMessage } from '../../../src/signaling/protocol.ts';
import { decodeServer, decodeSession, encodeIdentity } from '../../../src/snapshot/codec/identity.ts';
import { decodePeers, decodeRoom } from '../../../src/snapshot/codec/media.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../../../src/snapshot/schema.ts';
import type { Address } from '../../../src/transport/address.ts';
import type { DtlsIdentity } from '../../../src/transport/dtls/client.ts';
import type { Millis } from '../../../src/util/clock.ts';
import { Secret } from '../../../src/util/secret.ts';
import { testIdentity } from '../../support/dtls-identity.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { encodeMedia, SAMPLE_TIME } from '../../support/snapshots.ts';

/** What one thing that happens may lead to: a burst of retransmissions or a message to everybody. */
const MAX_OUTPUTS_AT_ONCE = 1_200;
/** Largest that leaves: what a visitor sends is not cut to an MTU. */
const MAX_DATAGRAM_BYTES = 2_200;

let identity: DtlsIdentity | undefined;

/** Makes the certificate: once, as all servers may have the same. */
export async function prepareBroadcast(): Promise<void> {
  identity ??= await testIdentity();
}

export interface Restored {
  readonly identity: IdentitySnapshot;
  readonly media: MediaSnapshot | undefined;
}

/** The whole server on virtual time; after everything that happens it is drained, and what it would write is written and read again. */
export class WatchedBroadcast {
  readonly broadcast: Broadcast;
  readonly tokens: string[] = [];
  readonly offers: Extract<ServerMessage, { type: 'offer' }>[] = [];
  readonly sent: { readonly to: Address; readonly datagram: Uint8Array }[] = [];
  readonly said: ServerMessage[] = [];
  now: Millis = 1_000;

  constructor(restored?: Restored) {
    const own = identity!;
    const certificate = {
      certificate: own.certificate,
      privateKey: Secret.alloc(1),
      createdAt: SAMPLE_TIME,
    };
    this.broadcast = new Broadcast(
      {
        certificate: restored?.identity.certificate ?? certificate,
        identity: own,
        tokenKey: restored?.identity.tokenKey ?? Secret.alloc(32),
        instance: 'fuzz',
        rng: seededRandom(31),
        candidates: [{ ip: '198.51.100.1', port: 8_080 }],
        videoCodecs: ['VP8', 'H264'],
        srtpProfiles: ['AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM', 'AEAD_AES_256_GCM'],
        staleKeyTtl: 5_000,
        sessionTtl: 600_000,
        rekeyInterval: undefined,
        wallOffset: SAMPLE_TIME - this.now,
        mediaTtl: 30_000,
        persistMedia: (snapshot) => {
          readAgain(encodeMedia(snapshot), decodeRoom, decodePeers);
          return true;
        },
      },
      this.now,
      restored,
    );
    this.drain();
  }

  receive(datagram: Uint8Array, from: Address): void {
    // As a socket hands it over, whose memory is soon used for something else.
    const received = datagram.slice();
    this.broadcast.handleDatagram(received, from, this.now);
    received.fill(0xee);
    this.drain();
  }

  open(page: number, token: string | undefined, position: string): void {
    const parsed: PagePosition | undefined = parsePosition(position);
    this.broadcast.openPage({ id: page, owner: `192.0.2.${page}` }, token, parsed, this.now);
    this.drain();
  }

  /** Gives whether it was a message. */
  say(page: number, text: string): boolean {
    const message = parseClientMessage(text);
    // A button of the demonstration is not the engine's.
    if (message !== undefined && message.type !== 'demo')
      this.broadcast.handleMessage(page, message, this.now);
    this.drain();
    return message !== undefined;
  }

  leave(page: number): void {
    this.broadcast.closePage(page, this.now);
    this.drain();
  }

  pass(time: Millis): void {
    this.now += time;
    this.broadcast.handleTimeout(this.now);
    this.drain();
  }

  /** Ends it: everything it holds can be written, and all its keys are wiped. */
  finish(): void {
    this.broadcast.refreshMedia(this.now);
    readAgain(encodeIdentity(this.broadcast.captureIdentity()), decodeServer, decodeSession);
    this.broadcast.close();
  }

  drain(): void {
    let outputs = 0;
    for (
      let output = this.broadcast.pollOutput();
      output !== undefined;
      output = this.broadcast.pollOutput()
    ) {
      if (++outputs > MAX_OUTPUTS_AT_ONCE) throw new Error('a flood of outputs');
      this.#note(output);
    }
  }

  #note(output: BroadcastOutput): void {
    if (output.kind === 'transmit') {
      const { to, datagram } = output;
      if (datagram.length > MAX_DATAGRAM_BYTES) throw new Error(`a datagram of ${datagram.length} bytes`);
      this.sent.push({ to, datagram });
    } else if (output.kind === 'message') {
      this.said.push(output.message);
      if (output.message.type === 'welcome') this.tokens.push(output.message.token);
      if (output.message.type === 'offer') this.offers.push(output.message);
    } else if (output.kind === 'event' && output.event.event === 'protect-failed')
      throw new Error(output.event.reason);
  }
}

/** Every record is read as what it was written as. */
function readAgain(
  records: Iterable<Uint8Array>,
  first: (record: Uint8Array) => unknown,
  others: (record: Uint8Array) => unknown,
): void {
  let number = 0;
  for (const record of records) {
    const decode = number++ === 0 ? first : others;
    if (decode(record) === undefined) throw new Error(`record ${number} of a snapshot cannot be read again`);
  }
}
