import { ByteReader, concat } from '../../../util/bytes.ts';
import type { HelloRandoms } from '../key-schedule.ts';

const NAMED_CURVE = 3;

export interface ServerKeyExchange {
  readonly group: number;
  readonly publicKey: Uint8Array;
  readonly scheme: number;
  readonly signature: Uint8Array;
  /** The ServerECDHParams as they came: what is signed. */
  readonly params: Uint8Array;
}

/** RFC 8422 §5.4: ECDHE parameters with a named curve, and a signature over them. */
export function decodeServerKeyExchange(body: Uint8Array): ServerKeyExchange | undefined {
  const reader = new ByteReader(body);
  const curveType = reader.u8();
  const group = reader.u16();
  const publicKey = reader.vector(1).slice();
  const params = body.slice(0, reader.offset);
  const scheme = reader.u16();
  const signature = reader.vector(2).slice();
  if (!reader.complete || curveType !== NAMED_CURVE) return undefined;
  return { group, publicKey, scheme, signature, params };
}

/** What the server signs (RFC 8422 §5.4): both nonces, so that an old signature is of no use, and the parameters. */
export function signedParameters(randoms: HelloRandoms, params: Uint8Array): Uint8Array {
  return concat(randoms.client, randoms.server, params);
}
