import {
  decodeFragments,
  encodeFragment,
  encodeMessage,
  HANDSHAKE_HEADER_BYTES,
  type HandshakeFragment,
} from '../../../src/transport/dtls/handshake.ts';
import { MAX_MESSAGE_BYTES, MESSAGE_WINDOW, Reassembly } from '../../../src/transport/dtls/reassembly.ts';
import {
  CONTENT_TYPE,
  type DtlsRecord,
  decodeRecords,
  encodeRecord,
  RECORD_HEADER_BYTES,
} from '../../../src/transport/dtls/record.ts';
import { concat } from '../../../src/util/bytes.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes, mutateList } from '../mutate.ts';
import type { Random } from '../random.ts';

const FIRST_SEQ = 2;
/** The rarest first. */
const CLASSES = [
  'message-too-large',
  'out-of-window',
  'conflicting-fragment',
  'retransmission',
  'whole',
  'malformed',
];

export const dtlsRecord: FuzzTarget = {
  id: 'fuzz-dtls-record',
  claim:
    'records, fragments and messages put together from them are what was sent, and no more is held than the window',
  inputs: 10_000,
  reaches: CLASSES,
  maxBytes: 16_384,
  seeds: () => {
    const body = Uint8Array.from({ length: 60 }, (_, i) => i);
    const fragment = (offset: number, length: number, seq = FIRST_SEQ): HandshakeFragment => ({
      type: 11,
      seq,
      length: body.length,
      offset,
      bytes: body.subarray(offset, offset + length),
    });
    const records = (...fragments: readonly HandshakeFragment[]): Uint8Array =>
      concat(...fragments.map((one, sequence) => record(sequence, encodeFragment(one))));
    return [
      record(0, encodeMessage({ type: 2, seq: FIRST_SEQ, body })),
      records(fragment(40, 20), fragment(0, 20), fragment(20, 20)),
      records(fragment(0, 40), fragment(20, 40)),
      record(7, concat(encodeFragment(fragment(0, 30)), encodeFragment(fragment(30, 30)))),
      records(fragment(0, 60, FIRST_SEQ + 1), fragment(0, 60), { ...fragment(0, 60), type: 12 }),
      records(fragment(0, 60, FIRST_SEQ + MESSAGE_WINDOW), fragment(0, 60, FIRST_SEQ - 1)),
      record(1, encodeFragment({ ...fragment(0, 20), length: MAX_MESSAGE_BYTES + 1 })),
      record(1, encodeMessage({ type: 14, seq: FIRST_SEQ, body: new Uint8Array(0) })),
      encodeRecord({
        ...decodedRecord(record(3, body)),
        type: CONTENT_TYPE.alert,
        version: 0xfeff,
        epoch: 1,
      }),
    ];
  },
  mutate: (input, random) => {
    const records = [...decodeRecords(input)].filter((one) => one !== undefined);
    if (records.length === 0) return input;
    return concat(
      ...mutateList(
        records,
        random,
        (one) => changed(one, random),
        () => records[0]!,
      ).map(encodeRecord),
    );
  },
  run: (input) => {
    const records = [...decodeRecords(input)];
    const good = records.filter((one) => one !== undefined);
    const encoded = concat(...good.map(encodeRecord));
    if (Buffer.compare(encoded, input.subarray(0, encoded.length)) !== 0)
      throw new Error('records change on their way');
    if (good.length !== records.length && records.at(-1) !== undefined)
      throw new Error('something was read behind what is no record');
    if (records.length > input.length / RECORD_HEADER_BYTES + 1)
      throw new Error('more records than bytes for them');
    const seen = new Set<string>(good.length < records.length ? ['malformed'] : []);
    const reassembly = new Reassembly(FIRST_SEQ);
    const first = new FirstBytes();
    for (const { type, fragment } of good)
      if (type === CONTENT_TYPE.handshake) reassemble(reassembly, first, fragment, seen);
    return CLASSES.find((word) => seen.has(word)) ?? 'nothing';
  },
};

/** Which byte came first for each place of each message: what a later fragment says otherwise is refused with it. */
class FirstBytes {
  readonly #bytes = new Map<string, number>();

  get(seq: number, at: number): number | undefined {
    return this.#bytes.get(`${seq} ${at}`);
  }

  keep({ seq, offset, bytes }: HandshakeFragment): void {
    for (const [i, byte] of bytes.entries()) {
      const known = this.get(seq, offset + i);
      if (known !== undefined && known !== byte) throw new Error('a fragment that disagrees was kept');
      this.#bytes.set(`${seq} ${offset + i}`, byte);
    }
  }
}

function reassemble(reassembly: Reassembly, first: FirstBytes, record: Uint8Array, seen: Set<string>): void {
  const fragments = [...decodeFragments(record)];
  const good = fragments.filter((one) => one !== undefined);
  const encoded = concat(...good.map(encodeFragment));
  if (Buffer.compare(encoded, record.subarray(0, encoded.length)) !== 0)
    throw new Error('fragments change on their way');
  if (fragments.length > record.length / HANDSHAKE_HEADER_BYTES + 1)
    throw new Error('more fragments than bytes for them');
  if (good.length < fragments.length) seen.add('malformed');
  for (const fragment of good) {
    if (fragment.offset + fragment.bytes.length > fragment.length)
      throw new Error('a fragment reaches beyond its message');
    const verdict = reassembly.add(fragment);
    if (verdict === 'kept') first.keep(fragment);
    if (verdict !== 'kept') seen.add(verdict);
    const message = reassembly.peek();
    if (message === undefined) continue;
    if (message.body.length > MAX_MESSAGE_BYTES) throw new Error('a message beyond the limit');
    if (!message.body.every((byte, at) => first.get(message.seq, at) === byte))
      throw new Error('a message is not what its first fragments say');
    seen.add('whole');
    reassembly.accept();
  }
}

function changed(one: DtlsRecord, random: Random): DtlsRecord {
  switch (random.below(5)) {
    case 0:
      return { ...one, type: random.pick([0, 20, 21, 22, 23, 24, 255]) };
    case 1:
      return {
        ...one,
        epoch: random.pick([0, 1, 2, 65_535]),
        sequence: random.pick([0, 1, 2 ** 32, 2 ** 48 - 1]),
      };
    case 2:
      return { ...one, fragment: mutateBytes(one.fragment, random, one.fragment).subarray(0, 2 ** 14) };
    default: {
      const fragments = [...decodeFragments(one.fragment)].filter((part) => part !== undefined);
      if (fragments.length === 0) return one;
      const parts = mutateList(
        fragments,
        random,
        (part) => changedFragment(part, random),
        () => fragments[0]!,
      );
      return { ...one, fragment: concat(...parts.map(encodeFragment)).subarray(0, 2 ** 14) };
    }
  }
}

/** Fragments that lie about their message, overlap or stick out. */
function changedFragment(part: HandshakeFragment, random: Random): HandshakeFragment {
  switch (random.below(5)) {
    case 0:
      return { ...part, seq: random.below(16) };
    case 1:
      return {
        ...part,
        length: random.pick([0, 1, 59, 60, 61, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1, 2 ** 24 - 1]),
      };
    case 2:
      return { ...part, offset: random.below(70) };
    case 3:
      return { ...part, type: random.below(24) };
    default:
      return { ...part, bytes: mutateBytes(part.bytes, random, part.bytes) };
  }
}

const record = (sequence: number, fragment: Uint8Array): Uint8Array =>
  encodeRecord({ type: CONTENT_TYPE.handshake, version: 0xfefd, epoch: 0, sequence, fragment });

const decodedRecord = (bytes: Uint8Array): DtlsRecord => [...decodeRecords(bytes)][0]!;
