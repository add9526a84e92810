import { describe, expect, it } from 'vitest';
import { ByteReader, utf8 } from '../../src/util/bytes.ts';
import { type FuzzTarget, fuzz } from './fuzz.ts';
import { checkLinear } from './linear.ts';
import { minimize } from './minimize.ts';
import { Random } from './random.ts';

/** No target of its own: SECURITY.md names none whose id is not written out. */
const TOY = 'toy';
const target = (run: FuzzTarget['run'], maxBytes = 1_500): FuzzTarget => ({
  id: `fuzz-${TOY}`,
  claim: 'nothing is known of it',
  inputs: 1,
  reaches: [],
  seeds: () => [utf8('seed')],
  run,
  maxBytes,
});
const options = { inputs: 3_000, seed: 1, pool: [utf8('seed')] };

describe('the harness', () => {
  it('fuzz-harness-throw: finds what throws, and says by which seed, target and smallest input', async () => {
    const faulty = target((input) => {
      if (input.length > 3 && input[1] === 0xff) throw new RangeError('planted');
      return 'fine';
    });
    await expect(fuzz(faulty, options)).rejects.toThrow(
      /^fuzz-toy \(seed 1, input \d+\): RangeError: planted\n {2}input: 00ff0000$/,
    );
  });

  it('fuzz-harness-same: makes the same inputs of the same seed, and others of another', async () => {
    const inputsOf = async (seed: number): Promise<string[]> => {
      const inputs: string[] = [];
      const noted = target((input) => {
        inputs.push(Buffer.from(input).toString('hex'));
        return 'fine';
      });
      await fuzz(noted, { ...options, inputs: 50, seed });
      return inputs;
    };
    expect(await inputsOf(7)).toEqual(await inputsOf(7));
    expect(await inputsOf(7)).not.toEqual(await inputsOf(8));
  });

  it('fuzz-harness-reads: finds a decoder that reads its input over and over', async () => {
    const quadratic = target((input) => {
      for (let start = 0; start < input.length; start++) {
        const reader = new ByteReader(input.subarray(start));
        while (reader.remaining > 0) reader.u8();
      }
      return 'fine';
    });
    await expect(fuzz(quadratic, { ...options, pool: [new Uint8Array(1_000)] })).rejects.toThrow(
      /reads of \d+ bytes/,
    );
  });

  it('fuzz-harness-writes: finds a decoder that writes to its input', async () => {
    await expect(
      fuzz(
        target((input) => String(input.fill(0).length)),
        options,
      ),
    ).rejects.toThrow('was written to');
  });

  it('fuzz-harness-linear: finds time that grows faster than the input, and passes time that does not', async () => {
    const work = (steps: (length: number) => number) =>
      target((input) => {
        let sum = 0;
        for (let left = steps(input.length); left > 0; left--) sum = (sum * 31 + left) % 1_000_003;
        return String(sum % 1);
      }, 16 * 1_024);
    const pool = [utf8('abc')];
    await checkLinear(
      work((length) => 4 * length),
      pool,
      new Random(1),
    );
    await expect(
      checkLinear(
        work((length) => (length * length) / 16),
        pool,
        new Random(1),
      ),
    ).rejects.toThrow('µs of CPU');
  });

  it('fuzz-harness-minimize: leaves of an input what is needed, and zeroes the rest', async () => {
    const holds = (input: Uint8Array): boolean => input.includes(7) && input.length >= 3;
    const smallest = await minimize(new Random(3).bytes(400).with(200, 7), holds);
    expect(smallest).toHaveLength(3);
    expect([...smallest].sort()).toEqual([0, 0, 7]);
  });
});
