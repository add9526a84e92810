import { type Connection, connectionId, sessionOf } from '../session/connection.ts';
import type { MediaSnapshot, PeerMediaRecord } from '../snapshot/schema.ts';
import { sameAddress } from '../transport/address.ts';
import { fromHex, toHex } from '../util/bytes.ts';

/** The SRTP contexts of a connection for the snapshot; `undefined` while it has none, or no address to resume them at. */
export function captureContexts(connection: Connection): PeerMediaRecord | undefined {
  const { id, number, peer } = connection;
  const { remoteAddress } = peer;
  if (remoteAddress === undefined) return undefined;
  const contexts = peer.captureContexts();
  if (contexts === undefined) return undefined;
  const { epoch, send, receive } = contexts;
  const last = captured.get(connection);
  if (last?.send === send && last.receive === receive && sameAddress(last.remoteAddress, remoteAddress))
    return last;
  const session = last?.session ?? fromHex(sessionOf(id));
  // Frozen: whoever has encoded it once may take it for the same ever after.
  const record: PeerMediaRecord = Object.freeze({
    session,
    connection: number,
    epoch,
    remoteAddress: Object.freeze({ ...remoteAddress }),
    send,
    receive,
  });
  captured.set(connection, record);
  return record;
}

/** The last record of each: most are the same from one write to the next, five times a second. */
const captured = new WeakMap<Connection, PeerMediaRecord>();

/** The same with every limit lifted: what is in no file cannot be resumed and needs none. */
export function unlimited({ room, peers, ...rest }: MediaSnapshot): MediaSnapshot {
  const lift = <Limited extends { readonly limit: number }>(list: readonly Limited[]) =>
    list.map((item) => ({ ...item, limit: Number.POSITIVE_INFINITY }));
  return {
    ...rest,
    room: { ...room, streams: lift(room.streams) },
    peers: peers.map((peer) => ({
      ...peer,
      send: { ...peer.send, srtcpLimit: Number.POSITIVE_INFINITY },
      receive: { ...peer.receive, streams: lift(peer.receive.streams), srtcp: lift(peer.receive.srtcp) },
    })),
  };
}

/** The connection that these are of. */
export const idOf = ({ session, connection }: PeerMediaRecord): string =>
  connectionId(toHex(session), connection);

/** Wipes contexts that nobody takes over. */
export function disposeContexts({ send, receive }: PeerMediaRecord): void {
  for (const { key, salt } of [send.master, receive.master]) {
    key.dispose();
    salt.dispose();
  }
}
