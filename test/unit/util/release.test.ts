import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { release } from '../../../src/util/release.ts';
import { elapse } from '../../support/wait.ts';

describe('an array that is not needed any more', () => {
  // Node 20 needs a turn of the event loop once.
  it('gives its memory back at once', async () => {
    await elapse(0);
    const before = process.memoryUsage().arrayBuffers;
    const bytes = new Uint8Array(64 * 1024 * 1024);
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThanOrEqual(bytes.length);
    release(bytes);
    expect(bytes).toHaveLength(0);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  it('may be what a cipher has made', () => {
    const made = createCipheriv('aes-128-ecb', new Uint8Array(16), null).update(new Uint8Array(4096));
    release(made);
    expect(made).toHaveLength(0);
  });

  it('may be of no length', () => {
    expect(() => release(new Uint8Array(0))).not.toThrow();
  });

  it.each([
    ['a view of a larger one', new Uint8Array([1, 2, 3, 4]).subarray(1, 3), [2, 3]],
    ['of a pool', Buffer.from('pool'), [...Buffer.from('pool')]],
    ['shared with other threads', new Uint8Array(new SharedArrayBuffer(2)), [0, 0]],
  ])('is left as it is where it is %s', (_, bytes, content) => {
    release(bytes);
    expect([...bytes]).toEqual(content);
  });
});
