import { ByteReader, ByteWriter } from '../../src/util/bytes.ts';
import { mutateList } from './mutate.ts';
import type { Random } from './random.ts';

/** One thing that happens to an engine: which, and with what bytes. */
export interface Step {
  readonly op: number;
  readonly data: Uint8Array;
}

/** More would only repeat what has been seen. */
const MAX_STEPS = 48;
const MAX_STEP_BYTES = 2_048;

/** The input of an engine: steps, each as op(1) length(2) data. Every input is a script; a length that lies takes what there is. */
export function decodeScript(input: Uint8Array): readonly Step[] {
  const reader = new ByteReader(input);
  const steps: Step[] = [];
  while (reader.remaining >= 3 && steps.length < MAX_STEPS) {
    const op = reader.u8();
    const length = Math.min(reader.u16(), reader.remaining, MAX_STEP_BYTES);
    steps.push({ op, data: reader.bytes(length) });
  }
  return steps;
}

export function encodeScript(steps: readonly Step[]): Uint8Array {
  const writer = new ByteWriter();
  for (const { op, data } of steps) writer.u8(op).vector(2, data.subarray(0, MAX_STEP_BYTES));
  return writer.finish();
}

/** Changes the order of the steps, their kinds, and by `change` their data. */
export function mutateScript(
  input: Uint8Array,
  random: Random,
  ops: number,
  change: (data: Uint8Array, random: Random) => Uint8Array,
): Uint8Array {
  const steps = mutateList<Step>(
    decodeScript(input),
    random,
    ({ op, data }) =>
      random.chance(0.2) ? { op: random.below(ops), data } : { op, data: change(data, random) },
    () => ({ op: random.below(ops), data: random.bytes(random.below(24)) }),
  );
  return encodeScript(steps.slice(0, MAX_STEPS));
}
