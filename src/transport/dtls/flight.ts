import { concat } from '../../util/bytes.ts';
import type { Millis } from '../../util/clock.ts';
import { encodeFragment, HANDSHAKE_HEADER_BYTES, type HandshakeMessage } from './handshake.ts';
import { CONTENT_TYPE, DTLS_1_2, encodeRecord, RECORD_HEADER_BYTES } from './record.ts';
import { PROTECTION_OVERHEAD_BYTES, type RecordProtection } from './record-protection.ts';

/** Largest datagram we send: fits any path that carries WebRTC media. */
export const MAX_DATAGRAM_BYTES = 1200;
/** First retransmission; libwebrtc's value for both of its sides, far below the one second of RFC 6347 §4.2.4.1. */
export const FIRST_RETRANSMIT_MS: Millis = 50;
const LAST_RETRANSMIT_MS: Millis = 1000;
/** A fixed interval ends after this: who has not answered by then may not be there, or may be somebody else by now. */
const FIXED_SPAN_MS: Millis = 3000;

/** What makes up a flight. Retransmitted as new records of the same messages (RFC 6347 §4.2.4). */
export type FlightMessage =
  | { readonly kind: 'handshake'; readonly epoch: 0 | 1; readonly message: HandshakeMessage }
  | { readonly kind: 'change-cipher-spec' };

/** The sending side of the record layer: numbers every record once, protects those of epoch 1. */
export class RecordWriter {
  readonly #sequence: [number, number] = [0, 0];
  #protection: RecordProtection | undefined;

  /** Takes the keys of epoch 1 over. */
  protect(protection: RecordProtection): void {
    this.#protection = protection;
  }

  /** The epoch that an alert goes out under. */
  get epoch(): 0 | 1 {
    return this.#protection === undefined ? 0 : 1;
  }

  write(type: number, epoch: 0 | 1, fragment: Uint8Array): Uint8Array {
    const plain = { type, version: DTLS_1_2, epoch, sequence: this.#sequence[epoch]++, fragment };
    if (epoch === 0) return encodeRecord(plain);
    if (this.#protection === undefined) throw new Error('epoch 1 has no keys');
    return encodeRecord(this.#protection.seal(plain));
  }

  dispose(): void {
    this.#protection?.dispose();
  }
}

/** The flight as datagrams of at most `MAX_DATAGRAM_BYTES`, fragmenting where it must. */
export function packFlight(flight: readonly FlightMessage[], writer: RecordWriter): Uint8Array[] {
  const packer = new Packer();
  for (const item of flight) {
    if (item.kind === 'change-cipher-spec') {
      packer.add(writer.write(CONTENT_TYPE.changeCipherSpec, 0, Uint8Array.of(1)));
    } else {
      packMessage(packer, item.message, item.epoch, writer);
    }
  }
  return packer.finish();
}

function packMessage(packer: Packer, message: HandshakeMessage, epoch: 0 | 1, writer: RecordWriter): void {
  const { type, seq, body } = message;
  const overhead =
    RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES + (epoch === 1 ? PROTECTION_OVERHEAD_BYTES : 0);
  let offset = 0;
  do {
    const rest = body.length - offset;
    // A message that fits a datagram is not cut to fill up the one before.
    if (rest + overhead > packer.room) packer.flush();
    const bytes = body.subarray(offset, offset + Math.min(rest, packer.room - overhead));
    const fragment = encodeFragment({ type, seq, length: body.length, offset, bytes });
    packer.add(writer.write(CONTENT_TYPE.handshake, epoch, fragment));
    offset += bytes.length;
  } while (offset < body.length);
}

class Packer {
  readonly #datagrams: Uint8Array[] = [];
  #records: Uint8Array[] = [];
  #room = MAX_DATAGRAM_BYTES;

  get room(): number {
    return this.#room;
  }

  add(record: Uint8Array): void {
    if (record.length > this.#room) this.flush();
    this.#records.push(record);
    this.#room -= record.length;
  }

  flush(): void {
    if (this.#records.length > 0) this.#datagrams.push(concat(...this.#records));
    this.#records = [];
    this.#room = MAX_DATAGRAM_BYTES;
  }

  finish(): Uint8Array[] {
    this.flush();
    return this.#datagrams;
  }
}

/** When to send a flight again: at a fixed interval for a while, and doubling up to a limit (RFC 6347 §4.2.4). */
export class RetransmitTimer {
  #interval: Millis = FIRST_RETRANSMIT_MS;
  #fixedUntil: Millis = Number.NEGATIVE_INFINITY;
  #sentAt: Millis | undefined;

  /** A new flight has just been sent. */
  start(now: Millis, fixedInterval?: Millis): void {
    this.#fixedUntil = fixedInterval === undefined ? Number.NEGATIVE_INFINITY : now + FIXED_SPAN_MS;
    this.#interval = fixedInterval ?? FIRST_RETRANSMIT_MS;
    this.#sentAt = now;
  }

  /** The flight has been sent again, because the timer ran out or (`early`) because the peer repeated its own. */
  again(now: Millis, early = false): void {
    if (now >= this.#fixedUntil && !early) this.#interval = Math.min(this.#interval * 2, LAST_RETRANSMIT_MS);
    this.#sentAt = now;
  }

  /** Why the interval was fixed is over: from the next time on it doubles. */
  slowDown(now: Millis): void {
    this.#fixedUntil = Math.min(this.#fixedUntil, now);
  }

  stop(): void {
    this.#sentAt = undefined;
  }

  /** Whether a flight that the peer repeats may make us repeat ours: at most once in each first interval. */
  mayAnswer(now: Millis): boolean {
    return this.#sentAt !== undefined && now - this.#sentAt >= FIRST_RETRANSMIT_MS;
  }

  get deadline(): Millis | undefined {
    return this.#sentAt === undefined ? undefined : this.#sentAt + this.#interval;
  }
}
