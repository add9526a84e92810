import { concat } from '../../src/util/bytes.ts';

const MAX_TRIES = 2_000;

/** A smaller input for which `holds` is still true: parts are taken out, the larger first, then bytes are zeroed. */
export async function minimize(
  input: Uint8Array,
  holds: (candidate: Uint8Array) => boolean | Promise<boolean>,
  maxTries = MAX_TRIES,
): Promise<Uint8Array> {
  let smallest = input;
  let tries = 0;
  const accept = async (candidate: Uint8Array): Promise<boolean> => {
    if (++tries > maxTries || !(await holds(candidate))) return false;
    smallest = candidate;
    return true;
  };
  for (let size = Math.ceil(input.length / 2); size >= 1 && tries < maxTries; size = Math.floor(size / 2)) {
    for (let at = Math.max(0, smallest.length - size); tries < maxTries; at = Math.max(0, at - size)) {
      await accept(concat(smallest.subarray(0, at), smallest.subarray(at + size)));
      if (at === 0) break;
    }
  }
  for (let at = 0; at < smallest.length && tries < maxTries; at++) {
    if (smallest[at] !== 0) await accept(smallest.with(at, 0));
  }
  return smallest;
}
