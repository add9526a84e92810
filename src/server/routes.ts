import type { Connection } from '../session/connection.ts';
import type { Session } from '../session/session.ts';
import { type Address, addressKey } from '../transport/address.ts';
import { addresseeOf } from '../transport/ice/ice-lite.ts';

/** A connection and whose it is. */
export interface Route {
  readonly session: Session;
  readonly connection: Connection;
}

/**
 * Finds the connection that a datagram is for: checks by their local ufrag, responses by the transaction they answer, everything else by the
 * address that has proven to be the connection's last. What is found is a hint; the peer itself verifies.
 */
export class Routes {
  readonly #routes = new Map<string, Route>();
  readonly #byUfrag = new Map<string, Route>();
  readonly #byTransaction = new Map<string, Route>();
  readonly #byAddress = new Map<string, Route>();
  /** What was registered for a connection, to be taken back with it. */
  readonly #ufrags = new Map<string, readonly string[]>();
  readonly #transactions = new Map<string, Set<string>>();
  readonly #addresses = new Map<string, Map<string, Address>>();
  #viewers: readonly Route[] | undefined;

  get(connection: string): Route | undefined {
    return this.#routes.get(connection);
  }

  all(): Iterable<Route> {
    return this.#routes.values();
  }

  /** The same list until somebody joins or leaves. */
  viewers(): readonly Route[] {
    this.#viewers ??= [...this.#routes.values()].filter(({ connection }) => connection.role === 'viewer');
    return this.#viewers;
  }

  /** Registers a connection, or its new ufrags and address after an offer or a nomination. */
  put(route: Route): void {
    const { id, peer } = route.connection;
    const known = this.#routes.get(id);
    if (known?.connection !== route.connection || known.session !== route.session) {
      this.#routes.set(id, route);
      this.#viewers = undefined;
    }
    for (const ufrag of this.#ufrags.get(id) ?? []) this.#byUfrag.delete(ufrag);
    this.#ufrags.set(id, peer.ufrags);
    for (const ufrag of peer.ufrags) this.#byUfrag.set(ufrag, route);
    if (peer.remoteAddress !== undefined) this.addAddress(route, peer.remoteAddress);
  }

  /** A request of this connection that a response may come to. */
  addTransaction(route: Route, transaction: string): void {
    const { id, peer } = route.connection;
    this.#byTransaction.set(transaction, route);
    const known = this.#transactions.get(id) ?? new Set<string>();
    this.#transactions.set(id, known.add(transaction));
    // The peer awaits a few at a time; so does the table.
    for (const other of known) if (!peer.isProbing(other)) this.#forgetTransaction(id, other);
  }

  /** An address that has proven to be this connection's. */
  addAddress(route: Route, address: Address): void {
    const key = addressKey(address);
    const { id, peer } = route.connection;
    this.#byAddress.set(key, route);
    const known = this.#addresses.get(id) ?? new Map<string, Address>();
    this.#addresses.set(id, known.set(key, address));
    // The peer forgets its oldest address when it has too many; so does the table.
    for (const [other, validated] of known) if (!peer.isValidated(validated)) this.#forget(id, other);
  }

  remove(connection: string): void {
    if (this.#routes.delete(connection)) this.#viewers = undefined;
    for (const ufrag of this.#ufrags.get(connection) ?? []) this.#byUfrag.delete(ufrag);
    for (const transaction of this.#transactions.get(connection) ?? [])
      this.#forgetTransaction(connection, transaction);
    for (const key of this.#addresses.get(connection)?.keys() ?? []) this.#forget(connection, key);
    this.#ufrags.delete(connection);
    this.#transactions.delete(connection);
    this.#addresses.delete(connection);
  }

  findAddressee(stun: Uint8Array): Route | undefined {
    const addressee = addresseeOf(stun);
    if (addressee === undefined) return undefined;
    return 'ufrag' in addressee
      ? this.#byUfrag.get(addressee.ufrag)
      : this.#byTransaction.get(addressee.transaction);
  }

  findByAddress(from: Address): Route | undefined {
    return this.#byAddress.get(addressKey(from));
  }

  #forgetTransaction(connection: string, transaction: string): void {
    this.#transactions.get(connection)?.delete(transaction);
    this.#byTransaction.delete(transaction);
  }

  #forget(connection: string, key: string): void {
    this.#addresses.get(connection)?.delete(key);
    // The address may be another connection's by now: a browser has one socket for several.
    if (this.#byAddress.get(key)?.connection.id === connection) this.#byAddress.delete(key);
  }
}
