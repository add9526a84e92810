import { createHmac } from 'node:crypto';
import { concat, utf8 } from '../../util/bytes.ts';
import { Secret, wipe } from '../../util/secret.ts';
import { type DtlsSrtpKeys, SRTP_PROFILES, type SrtpMasterKey, type SrtpProfile } from '../srtp/profile.ts';
import type { CipherSuite, PrfHash } from './cipher-suite.ts';
import { GCM_SALT_BYTES, RecordProtection } from './record-protection.ts';

const MASTER_SECRET_BYTES = 48;
const VERIFY_DATA_BYTES = 12;
/** RFC 5764 §4.2. */
const SRTP_EXPORTER_LABEL = 'EXTRACTOR-dtls_srtp';

/** The two nonces of a handshake, public. */
export interface HelloRandoms {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/** The TLS 1.2 PRF (RFC 5246 §5). */
export function prf(hash: PrfHash, secret: Secret, label: string, seed: Uint8Array, length: number): Secret {
  const labelled = concat(utf8(label), seed);
  const output = Secret.alloc(length);
  let a = hmac(hash, secret, labelled);
  for (let offset = 0; offset < length; ) {
    const block = hmac(hash, secret, a, labelled);
    output.bytes.set(block.subarray(0, length - offset), offset);
    offset += block.length;
    wipe(block);
    if (offset >= length) break;
    const following = hmac(hash, secret, a);
    wipe(a);
    a = following;
  }
  wipe(a);
  return output;
}

/** RFC 7627 §4: the master secret is bound to everything up to and including ClientKeyExchange. */
export function extendedMasterSecret(hash: PrfHash, premaster: Secret, sessionHash: Uint8Array): Secret {
  return prf(hash, premaster, 'extended master secret', sessionHash, MASTER_SECRET_BYTES);
}

/** `verify_data` of a Finished (RFC 5246 §7.4.9). */
export function verifyData(
  hash: PrfHash,
  master: Secret,
  sender: 'client' | 'server',
  transcriptHash: Uint8Array,
): Secret {
  return prf(hash, master, `${sender} finished`, transcriptHash, VERIFY_DATA_BYTES);
}

/** Record protection for both directions from the key block (RFC 5246 §6.3; AEAD suites have no MAC keys). */
export function recordProtections(
  suite: CipherSuite,
  master: Secret,
  randoms: HelloRandoms,
): { readonly client: RecordProtection; readonly server: RecordProtection } {
  const { keyBytes } = suite;
  // RFC 5246 §6.3: server random first here, and only here.
  const seed = concat(randoms.server, randoms.client);
  const block = prf(suite.prf, master, 'key expansion', seed, 2 * (keyBytes + GCM_SALT_BYTES));
  const cut = cutter(block);
  const [clientKey, serverKey] = [cut(keyBytes), cut(keyBytes)];
  const [clientSalt, serverSalt] = [cut(GCM_SALT_BYTES), cut(GCM_SALT_BYTES)];
  block.dispose();
  return {
    client: new RecordProtection(suite, clientKey, clientSalt),
    server: new RecordProtection(suite, serverKey, serverSalt),
  };
}

/** The SRTP master keys of both sides, as the exporter of RFC 5705 §4 yields them without context (RFC 5764 §4.2). */
export function exportSrtpKeys(
  hash: PrfHash,
  master: Secret,
  randoms: HelloRandoms,
  profile: SrtpProfile,
  self: 'client' | 'server',
): DtlsSrtpKeys {
  const { keyBytes, saltBytes } = SRTP_PROFILES[profile];
  const seed = concat(randoms.client, randoms.server);
  const block = prf(hash, master, SRTP_EXPORTER_LABEL, seed, 2 * (keyBytes + saltBytes));
  const cut = cutter(block);
  const [clientKey, serverKey] = [cut(keyBytes), cut(keyBytes)];
  const client: SrtpMasterKey = { key: clientKey, salt: cut(saltBytes) };
  const server: SrtpMasterKey = { key: serverKey, salt: cut(saltBytes) };
  block.dispose();
  return self === 'client'
    ? { profile, local: client, remote: server }
    : { profile, local: server, remote: client };
}

/** Cuts consecutive secrets off a block. */
function cutter(block: Secret): (length: number) => Secret {
  let offset = 0;
  return (length) => {
    const part = Secret.copy(block.bytes.subarray(offset, offset + length));
    offset += length;
    return part;
  };
}

function hmac(hash: PrfHash, key: Secret, ...parts: readonly Uint8Array[]): Buffer {
  const mac = createHmac(hash, key.bytes);
  for (const part of parts) mac.update(part);
  return mac.digest();
}
