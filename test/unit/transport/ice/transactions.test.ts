import { expect, it } from 'vitest';
import { REMEMBERED, Transactions } from '../../../../src/transport/ice/transactions.ts';
import { ByteWriter } from '../../../../src/util/bytes.ts';

const idOf = (number: number): Uint8Array => new ByteWriter(12).u48(number).u48(1).finish();

it('takes each transaction once, the one of zeroes too', () => {
  const transactions = new Transactions();
  expect(transactions.take(idOf(0))).toBe(true);
  expect(transactions.take(idOf(0))).toBe(false);
  expect(transactions.take(idOf(1))).toBe(true);
  expect(transactions.take(idOf(0))).toBe(false);
});

it('knows as many of the newest as it says, however many there were, and no more', () => {
  const transactions = new Transactions();
  const all = 3 * REMEMBERED + 7;
  for (let number = 0; number < all; number++) {
    expect(transactions.take(idOf(number))).toBe(true);
    const oldest = Math.max(0, number - REMEMBERED + 1);
    expect(transactions.take(idOf(oldest))).toBe(false);
    expect(transactions.take(idOf(number))).toBe(false);
  }
  expect(transactions.take(idOf(all - REMEMBERED - 1))).toBe(true);
});
