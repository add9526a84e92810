import { ByteReader } from '../../src/util/bytes.ts';

/** Reads through every {@link ByteReader} of this process since {@link countReads}. */
let reads = 0;
let counting = false;

/** From now on each read is counted: how much work a decoder does is then a number, and the same on every machine. */
export function countReads(): void {
  if (counting) return;
  counting = true;
  const methods = ['u8', 'u16', 'u24', 'u32', 'u48', 'u64', 'bytes', 'vector'] as const;
  for (const name of methods) {
    const original = ByteReader.prototype[name] as (...values: number[]) => unknown;
    Object.defineProperty(ByteReader.prototype, name, {
      value: function (this: ByteReader, ...values: number[]): unknown {
        reads++;
        return original.apply(this, values);
      },
    });
  }
}

export const readsSoFar = (): number => reads;
