import { concat } from '../../src/util/bytes.ts';
import { der } from '../support/der.ts';
import { mutateBytes, mutateList } from './mutate.ts';
import type { Random } from './random.ts';

/** A DER element: its identifier byte, and its content or what is in it. */
interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

const CONSTRUCTED = 0x20;
const MAX_DEPTH = 12;
/** What the encoder writes the length of. */
const MAX_CONTENT = 65_535;

/** Changes one element of a DER structure and makes the lengths around it right. */
export function mutateDer(input: Uint8Array, random: Random, depth = 0): Uint8Array {
  const elements = parse(input);
  if (elements === undefined || depth === MAX_DEPTH) return mutateBytes(input, random, input);
  const changed = mutateList(
    elements,
    random,
    (element) => change(element, random, depth),
    () => ({ tag: random.below(256), content: random.bytes(random.below(40)) }),
  );
  return concat(...changed.map(({ tag, content }) => der(tag, content.subarray(0, MAX_CONTENT))));
}

function change({ tag, content }: Element, random: Random, depth: number): Element {
  if (random.chance(0.05)) return { tag: random.below(256), content };
  const inside = (tag & CONSTRUCTED) !== 0 && random.chance(0.9);
  return {
    tag,
    content: inside ? mutateDer(content, random, depth + 1) : mutateBytes(content, random, content),
  };
}

/** The elements side by side; `undefined` where the bytes are no DER. */
function parse(input: Uint8Array): readonly Element[] | undefined {
  const elements: Element[] = [];
  for (let at = 0; at < input.length; ) {
    const tag = input[at]!;
    const first = input[at + 1] ?? 0xff;
    const lengthBytes = first < 0x80 ? 0 : first - 0x80;
    if (lengthBytes > 3) return undefined;
    let length = lengthBytes === 0 ? first : 0;
    for (let i = 0; i < lengthBytes; i++) length = length * 256 + (input[at + 2 + i] ?? 0);
    const start = at + 2 + lengthBytes;
    if (start + length > input.length) return undefined;
    elements.push({ tag, content: input.subarray(start, start + length) });
    at = start + length;
  }
  return elements;
}
