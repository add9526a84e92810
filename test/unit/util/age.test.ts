import { expect, it } from 'vitest';
import { ageInWords } from '../../../src/util/age.ts';

it.each([
  [0, '0 ms'],
  [1_999, '1999 ms'],
  [2_000, '2 s'],
  [119_999, '119 s'],
  [120_000, '2 min'],
  [7_200_000, '2 h'],
  [90 * 86_400_000, '90 d'],
])('an age of %d ms is %s', (ms, words) => {
  expect(ageInWords(ms)).toBe(words);
});
