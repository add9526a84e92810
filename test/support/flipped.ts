/** A copy with bits of one byte changed, the lowest of the last one unless told otherwise. */
export function flipped(bytes: Uint8Array, at = bytes.length - 1, mask = 1): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at]! ^= mask;
  return copy;
}
