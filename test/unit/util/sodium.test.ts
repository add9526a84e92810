import wrappers from 'libsodium-wrappers';
import { beforeAll, describe, expect, it } from 'vitest';
import { concat, toHex, utf8 } from '../../../src/util/bytes.ts';
import { loadSodium, type Sodium } from '../../../src/util/sodium.ts';

interface RawMemory {
  _malloc(size: number): number;
  _free(address: number): void;
}

const ASSOCIATED = utf8('associated');

let library: Sodium;

beforeAll(async () => {
  library = await loadSodium();
});

describe('a sealed stream', () => {
  it('is opened by the library it comes from, through its own functions', () => {
    const { publicKey, privateKey } = wrappers.crypto_box_keypair();
    const stream = library.openSealStream(publicKey);
    const ciphertexts = [utf8('one'), utf8('two')].map((text, at) =>
      stream.push(text, ASSOCIATED, at === 1).slice(),
    );
    stream.close();
    const key = wrappers.crypto_box_seal_open(stream.sealedKey, publicKey, privateKey);
    const state = wrappers.crypto_secretstream_xchacha20poly1305_init_pull(stream.streamHeader, key);
    const pulled = ciphertexts.map((bytes) =>
      wrappers.crypto_secretstream_xchacha20poly1305_pull(state, bytes, ASSOCIATED),
    );
    expect(pulled).toMatchObject([
      { message: utf8('one'), tag: wrappers.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE },
      { message: utf8('two'), tag: wrappers.crypto_secretstream_xchacha20poly1305_TAG_FINAL },
    ]);
  });

  it('opens what the library has sealed through its own functions, and nothing under another key', () => {
    const { publicKey, privateKey } = wrappers.crypto_box_keypair();
    const other = wrappers.crypto_box_keypair();
    const key = wrappers.crypto_secretstream_xchacha20poly1305_keygen();
    const { state, header } = wrappers.crypto_secretstream_xchacha20poly1305_init_push(key);
    const message = wrappers.crypto_secretstream_xchacha20poly1305_push(
      state,
      utf8('text'),
      ASSOCIATED,
      wrappers.crypto_secretstream_xchacha20poly1305_TAG_FINAL,
    );
    const sealedKey = wrappers.crypto_box_seal(key, publicKey);
    expect(library.openStream(sealedKey, header, other.publicKey, other.privateKey)).toBeUndefined();
    const stream = library.openStream(sealedKey, header, publicKey, privateKey)!;
    const pulled = stream.pull(message, ASSOCIATED);
    expect(pulled).toMatchObject({ final: true });
    expect(toHex(pulled!.message.bytes)).toBe(toHex(utf8('text')));
    stream.close();
  });

  it('refuses a message that is out of order, repeated or under other associated data', () => {
    const { publicKey, privateKey } = wrappers.crypto_box_keypair();
    const sealing = library.openSealStream(publicKey);
    const [one, two] = [utf8('one'), utf8('two')].map((text) =>
      sealing.push(text, ASSOCIATED, false).slice(),
    );
    sealing.close();
    const outcomes = (messages: readonly [Uint8Array, Uint8Array][]): readonly boolean[] => {
      const stream = library.openStream(sealing.sealedKey, sealing.streamHeader, publicKey, privateKey)!;
      const opened = messages.map(([bytes, associated]) => stream.pull(bytes, associated) !== undefined);
      stream.close();
      return opened;
    };
    expect(
      outcomes([
        [one!, ASSOCIATED],
        [two!, ASSOCIATED],
      ]),
    ).toEqual([true, true]);
    expect(outcomes([[two!, ASSOCIATED]])).toEqual([false]);
    expect(
      outcomes([
        [one!, ASSOCIATED],
        [one!, ASSOCIATED],
      ]),
    ).toEqual([true, false]);
    expect(outcomes([[one!, concat(ASSOCIATED, utf8('!'))]])).toEqual([false]);
  });

  it('is one at a time, and of no use once it is closed', () => {
    const { publicKey } = wrappers.crypto_box_keypair();
    const stream = library.openSealStream(publicKey);
    expect(() => library.openSealStream(publicKey)).toThrow('already open');
    stream.close();
    expect(() => stream.push(utf8('late'), ASSOCIATED, false)).toThrow('closed');
    const next = library.openSealStream(publicKey);
    stream.close();
    expect(() => next.push(utf8('in time'), ASSOCIATED, false)).not.toThrow();
    next.close();
  });

  it('takes no more memory, however many are sealed', () => {
    const { publicKey } = wrappers.crypto_box_keypair();
    const next = (): number => {
      const raw = (wrappers as unknown as { libsodium: RawMemory }).libsodium;
      const address = raw._malloc(52);
      raw._free(address);
      return address;
    };
    const before = next();
    for (let i = 0; i < 50; i++) {
      const stream = library.openSealStream(publicKey);
      stream.push(utf8('text'), ASSOCIATED, true);
      stream.close();
    }
    expect(next()).toBe(before);
    expect(library.isClean()).toBe(true);
  });
});
