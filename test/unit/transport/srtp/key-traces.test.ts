import { createCipheriv, createDecipheriv } from 'node:crypto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createTransform } from '../../../../src/transport/srtp/create-transform.ts';
import { deriveSessionKeys } from '../../../../src/transport/srtp/session-keys.ts';
import { loadKernel } from '../../../support/kernel.ts';
import { ALL_PROFILES, rtcpPacket, rtpPacket, testMasterKey } from '../../../support/srtp.ts';

/** Up to this size V8 keeps an array on its heap and copies it about. */
const HEAP_ARRAY_BYTES = 64;

const made = vi.hoisted(() => ({ ciphers: [] as { finished: boolean; inputs: unknown[] }[] }));

vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  const watch =
    (make: (...inputs: never[]) => object) =>
    (...inputs: unknown[]) => {
      const record = { finished: false, inputs };
      made.ciphers.push(record);
      const cipher = make(...(inputs as never[])) as { final(): Buffer };
      const final = cipher.final.bind(cipher);
      cipher.final = () => {
        record.finished = true;
        return final();
      };
      return cipher;
    };
  return {
    ...crypto,
    createCipheriv: watch(crypto.createCipheriv),
    createDecipheriv: watch(crypto.createDecipheriv),
  };
});

const kernel = await loadKernel();

beforeEach(() => {
  made.ciphers.length = 0;
});

describe.each(ALL_PROFILES)('%s', (profile) => {
  it('leaves no cipher unfinished, which would hold its key until it is collected', () => {
    work();
    expect(made.ciphers.length).toBeGreaterThan(4);
    expect(made.ciphers.filter(({ finished }) => !finished)).toEqual([]);
  });

  it('hands over keys and nonces out of memory that the collector does not copy', () => {
    work();
    const arrays = made.ciphers
      .flatMap(({ inputs }) => inputs)
      .filter((input) => input instanceof Uint8Array);
    expect(arrays.length).toBeGreaterThan(4);
    for (const { buffer } of arrays) expect(buffer.byteLength).toBeGreaterThan(HEAP_ARRAY_BYTES);
  });

  function work(): void {
    const transform = createTransform(profile, deriveSessionKeys(profile, testMasterKey(profile)));
    transform.kernelKeys(kernel)?.encrypt(new Uint8Array(16));
    const rtp = transform.sealRtp(rtpPacket(5), 12, 5);
    expect(transform.openRtp(rtp, 12, 5)).toEqual(rtpPacket(5));
    const rtcp = transform.sealRtcp(rtcpPacket(), 7);
    expect(transform.openRtcp(rtcp)).toEqual(rtcpPacket());
    rtcp[9]! ^= 1;
    rtp[13]! ^= 1;
    expect([transform.openRtp(rtp, 12, 5), transform.openRtcp(rtcp)]).toEqual([undefined, undefined]);
    transform.dispose();
  }
});

it('is watched here', () => {
  createCipheriv('aes-128-ctr', new Uint8Array(16), new Uint8Array(16)).update(new Uint8Array(1));
  createDecipheriv('aes-128-ctr', new Uint8Array(16), new Uint8Array(16)).final();
  expect(made.ciphers.map(({ finished }) => finished)).toEqual([false, true]);
});
