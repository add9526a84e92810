import type { SnapshotWriter } from '../keyring/keyring.ts';
import { deriveWriterKey } from '../keyring/writer-key.ts';
import { ByteReader, ByteWriter } from '../util/bytes.ts';
import type { Secret } from '../util/secret.ts';
import { type OpenStream, sodium } from '../util/sodium.ts';
import {
  encodeHeader,
  isWrittenWith,
  type ParsedHeader,
  parseHeader,
  publicPart,
  type SealedHeader,
  type SealedKind,
} from './header.ts';

export interface Opened {
  readonly outcome: 'opened';
  readonly header: SealedHeader;
  /** The authentic records up to the end or the first damage. The caller disposes them. */
  readonly records: readonly Secret[];
  /** All records are there. */
  readonly complete: boolean;
  /** What is wrong with the file, in words. */
  readonly damage: string | undefined;
}

export type OpenResult =
  | Opened
  /** Not even the head can be read. */
  | { readonly outcome: 'damaged'; readonly damage: string }
  /** Written by a newer version of this program. */
  | { readonly outcome: 'newer'; readonly version: number }
  /** Not shown to be written by a holder of the key: nothing in it is to be believed. */
  | { readonly outcome: 'forged'; readonly why: string }
  /** No secret key for it, or one that does not open it. */
  | { readonly outcome: 'locked'; readonly keyId: string };

export interface OpenOptions {
  readonly kind: SealedKind;
  /** Stop after so many records, with the others left unopened. */
  readonly recordLimit?: number;
}

/** A file is about as large as the one before it: a buffer that has to grow is copied over and over. */
const sizes: Record<SealedKind, number> = { identity: 4096, media: 4096 };
const HEADROOM = 1.1;

const FINAL_MESSAGE = new Uint8Array(0);

/**
 * A sealed file: the head, then the records, each as length(2) and one message of a secretstream
 * (XChaCha20-Poly1305) with the head as associated data. An empty message with the final tag ends it, so a cut is told from
 * an end. The data key is fresh for each file and lies in the head, in a box that only the snapshot secret key opens: who
 * writes a file cannot read it back.
 *
 * Seals records to a public key, with a head that shows who wrote it. They may be views of one buffer: each is sealed before the next is asked for. `loadSodium` must have been
 * awaited. Throws `RangeError` for a record over 65518 bytes.
 */
export function sealSnapshot(
  { id: keyId, publicKey, writerKey }: SnapshotWriter,
  header: Omit<SealedHeader, 'keyId'>,
  records: Iterable<Uint8Array>,
): Uint8Array {
  const stream = sodium().openSealStream(publicKey);
  try {
    const head = encodeHeader({ ...header, keyId }, stream.sealedKey, stream.streamHeader, writerKey);
    const file = new ByteWriter(sizes[header.kind]).bytes(head);
    for (const record of records) file.vector(2, stream.push(record, head, false));
    file.vector(2, stream.push(FINAL_MESSAGE, head, true));
    sizes[header.kind] = Math.ceil(file.length * HEADROOM);
    return file.view();
  } finally {
    stream.close();
  }
}

/**
 * Opens what can be opened: of a cut or damaged file, the good records in front. Who wrote it is asked first. `secretKeyFor` gives the secret
 * key of an id, which is disposed here.
 */
export function openSealed(
  bytes: Uint8Array,
  secretKeyFor: (keyId: string) => Secret | undefined,
  options: OpenOptions,
): OpenResult {
  const parsed = parseHeader(bytes);
  if (parsed.outcome === 'outdated')
    return { outcome: 'forged', why: `it has format ${parsed.version}, which does not show who wrote it` };
  if (parsed.outcome !== 'header') return parsed;
  const { header } = parsed;
  if (header.kind !== options.kind) return { outcome: 'damaged', damage: `it holds ${header.kind}` };
  const secretKey = secretKeyFor(header.keyId);
  if (secretKey === undefined) return { outcome: 'locked', keyId: header.keyId };
  let stream: OpenStream | undefined;
  try {
    const writerKey = deriveWriterKey(secretKey);
    const authentic = isWrittenWith(header, writerKey);
    writerKey.dispose();
    if (!authentic)
      return { outcome: 'forged', why: `no holder of the snapshot key ${header.keyId} wrote it` };
    const publicKey = sodium().publicKeyOf(secretKey.bytes);
    stream = sodium().openStream(header.sealedKey, header.streamHeader, publicKey, secretKey.bytes);
  } finally {
    secretKey.dispose();
  }
  if (stream === undefined) return { outcome: 'locked', keyId: header.keyId };
  try {
    return { outcome: 'opened', header: publicPart(header), ...pullRecords(bytes, header, stream, options) };
  } finally {
    stream.close();
  }
}

interface Pulled {
  readonly records: readonly Secret[];
  readonly complete: boolean;
  readonly damage: string | undefined;
}

function pullRecords(
  bytes: Uint8Array,
  header: ParsedHeader,
  stream: OpenStream,
  options: OpenOptions,
): Pulled {
  const records: Secret[] = [];
  const damaged = (damage: string): Pulled => ({ records, complete: false, damage });
  const reader = new ByteReader(bytes.subarray(header.bytes.length));
  const limit = options.recordLimit ?? Number.POSITIVE_INFINITY;
  while (records.length < limit) {
    const ciphertext = reader.vector(2);
    if (reader.failed) return damaged(`it is cut off in record ${records.length + 1}`);
    const pulled = stream.pull(ciphertext, header.bytes);
    if (pulled === undefined) return damaged(`record ${records.length + 1} is damaged`);
    if (!pulled.final) {
      records.push(pulled.message);
      continue;
    }
    pulled.message.dispose();
    const rest = reader.remaining;
    return {
      records,
      complete: true,
      damage: rest === 0 ? undefined : `${rest} bytes follow where it should end`,
    };
  }
  return { records, complete: false, damage: undefined };
}
