import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret, wipe } from '../../../src/util/secret.ts';
import { seededRandom } from '../../support/seeded-rng.ts';

const filled = (length: number, value = 0xab): Secret => Secret.take(new Uint8Array(length).fill(value));

describe('a Secret that is shown', () => {
  const secret = Secret.take(new TextEncoder().encode('hunter2!'));
  const shown = 'Secret(8 bytes)';

  it.each<[string, () => string]>([
    ['String()', () => String(secret)],
    ['a template', () => `${secret}`],
    ['util.inspect', () => inspect(secret)],
    ['util.inspect of what holds it', () => inspect({ nested: [secret] }, { depth: 9, showHidden: true })],
    ['an error that names it', () => String(new Error(`bad key ${secret}`))],
  ])('by %s says its length and nothing else', (_how, show) => {
    const text = show();
    expect(text).toContain(shown);
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain('104');
  });

  it('by JSON is an error, also inside of something', () => {
    expect(() => JSON.stringify(secret)).toThrow(TypeError);
    expect(() => JSON.stringify({ key: [secret] })).toThrow(TypeError);
  });

  it('has no enumerable bytes, and cannot be cloned into some', () => {
    expect(Object.keys(secret)).toEqual(['length']);
    expect({ ...secret }).toEqual({ length: 8 });
    expect(Object.keys(structuredClone(secret))).toEqual(['length']);
  });
});

describe('a Secret', () => {
  it('that takes bytes zeroes where they come from; one that copies does not', () => {
    const source = Uint8Array.of(1, 2, 3);
    expect(Secret.copy(source).bytes).toEqual(Uint8Array.of(1, 2, 3));
    expect(source).toEqual(Uint8Array.of(1, 2, 3));
    expect(Secret.take(source).bytes).toEqual(Uint8Array.of(1, 2, 3));
    expect(source).toEqual(new Uint8Array(3));
  });

  it('is random where that is asked for, and zero where it is only made room for', () => {
    const secret = Secret.random(32, seededRandom(1));
    expect(secret.bytes.some((byte) => byte !== 0)).toBe(true);
    expect(Secret.alloc(32).bytes).toEqual(new Uint8Array(32));
  });

  it('gives a view, not a copy', () => {
    const secret = Secret.alloc(4);
    secret.bytes[2] = 7;
    expect(secret.bytes).toEqual(Uint8Array.of(0, 0, 7, 0));
  });

  it.each([0, 1, 15, 16, 17, 32, 64, 138])(
    'of %d bytes lies outside of the JavaScript heap, alone',
    (length) => {
      const [secret, neighbour] = [filled(length), filled(length, 0xcd)];
      expect(secret.length).toBe(length);
      expect(secret.bytes.length).toBe(length);
      // V8 keeps arrays of up to 64 bytes on its heap.
      expect(secret.bytes.buffer.byteLength).toBeGreaterThan(64);
      neighbour.bytes.fill(0xee);
      expect(secret.bytes).toEqual(new Uint8Array(length).fill(0xab));
    },
  );

  it('of more than a page has memory of its own', () => {
    const secret = filled(100_000);
    expect(secret.bytes.buffer.byteLength).toBeGreaterThanOrEqual(100_000);
    const view = secret.bytes;
    secret.dispose();
    expect(view.every((byte) => byte === 0)).toBe(true);
  });
});

describe('dispose', () => {
  it('zeroes the memory itself, also for who still holds a view', () => {
    const secret = filled(40);
    const view = secret.bytes;
    const behind = new Uint8Array(view.buffer, view.byteOffset, 40);
    secret.dispose();
    expect(view).toEqual(new Uint8Array(40));
    expect(behind).toEqual(new Uint8Array(40));
    expect(secret.disposed).toBe(true);
  });

  it('makes the bytes unreachable', () => {
    const secret = filled(16);
    secret.dispose();
    expect(() => secret.bytes).toThrow(expect.objectContaining({ code: 'SECRET_DISPOSED' }));
    expect(String(secret)).toBe('Secret(16 bytes)');
  });

  it('twice does no harm to who has the memory next', () => {
    const first = filled(24);
    first.dispose();
    const next = filled(24, 0xcd);
    first.dispose();
    expect(next.bytes).toEqual(new Uint8Array(24).fill(0xcd));
    expect(next.disposed).toBe(false);
  });

  it('gives the memory back: it is used again, and by one at a time', () => {
    const secrets = Array.from({ length: 100 }, () => filled(30));
    const places = new Set(secrets.map(({ bytes }) => `${bytes.byteOffset}`));
    const { buffer } = secrets[0]!.bytes;
    for (const secret of secrets) secret.dispose();
    const again = Array.from({ length: 100 }, (_, i) => filled(32, i));
    expect(again.every(({ bytes }) => bytes.buffer === buffer && places.has(`${bytes.byteOffset}`))).toBe(
      true,
    );
    expect(new Set(again.map(({ bytes }) => bytes.byteOffset)).size).toBe(100);
    for (const [i, { bytes }] of again.entries()) expect(bytes).toEqual(new Uint8Array(32).fill(i));
  });

  it('hands on zeroes', () => {
    filled(48).dispose();
    expect(Secret.alloc(48).bytes).toEqual(new Uint8Array(48));
    expect(Secret.alloc(33).bytes).toEqual(new Uint8Array(33));
  });
});

describe('wipe', () => {
  it('zeroes every buffer', () => {
    const [one, other] = [Uint8Array.of(1, 2), Buffer.from('secret')];
    wipe(one, other);
    expect(one).toEqual(new Uint8Array(2));
    expect(other).toEqual(Buffer.alloc(6));
  });
});
