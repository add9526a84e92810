import type { Capabilities, ClientMessage, PagePosition, ServerMessage } from '../../signaling/protocol.ts';
import type { BroadcastEvent } from '../broadcast-io.ts';
import type { OpenedPage, PageId } from '../page-bindings.ts';

/** What the engine that leads has to say to one that follows. No key, and nothing that a key could be made of, is in it. */
export type ToFollower =
  /** A page comes back with a token of a session there. */
  | {
      readonly kind: 'open';
      readonly page: OpenedPage;
      readonly token: string;
      readonly position: PagePosition | undefined;
    }
  /** A page was let in, under this id. */
  | {
      readonly kind: 'enter';
      readonly page: OpenedPage;
      readonly session: string;
      readonly capabilities: Capabilities;
    }
  | { readonly kind: 'say'; readonly page: PageId; readonly message: ClientMessage }
  | { readonly kind: 'close'; readonly page: PageId }
  /** Its place was given away. */
  | { readonly kind: 'dismiss'; readonly session: string }
  | { readonly kind: 'rekey' }
  /** Rewritten media and reports on it: see `packTogether`. */
  | { readonly kind: 'media'; readonly packets: Uint8Array };

/** What comes back. */
export type FromFollower =
  | {
      readonly kind: 'message';
      readonly page: PageId;
      readonly message: ServerMessage;
      /** The page's; absent where it has none there. */
      readonly session: string | undefined;
    }
  | { readonly kind: 'disconnect'; readonly page: PageId; readonly code: number; readonly reason: string }
  | { readonly kind: 'viewers'; readonly viewers: number }
  | { readonly kind: 'keyframe-wanted' }
  | { readonly kind: 'event'; readonly event: BroadcastEvent };

const LENGTH_BYTES = 2;

/** Datagrams behind each other, each with its length before it: one message for all that a turn of the loop brings. */
export function packTogether(packets: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(packets.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const packet of packets) {
    view.setUint16(at, packet.length);
    packed.set(packet, at + LENGTH_BYTES);
    at += LENGTH_BYTES + packet.length;
  }
  return packed;
}

/** The datagrams again, as views. */
export function* takeApart(packed: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 0; at < packed.length; ) {
    const end = at + LENGTH_BYTES + view.getUint16(at);
    yield packed.subarray(at + LENGTH_BYTES, end);
    at = end;
  }
}
