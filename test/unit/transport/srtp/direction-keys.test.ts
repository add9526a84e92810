import { expect, it } from 'vitest';
import { DirectionKeys } from '../../../../src/transport/srtp/direction-keys.ts';
import { Secret } from '../../../../src/util/secret.ts';

const open = () => {
  const master = { key: Secret.alloc(16), salt: Secret.alloc(14) };
  return { master, keys: new DirectionKeys('AES_CM_128_HMAC_SHA1_80', master) };
};

it('derives its transform once, and wipes it together with the master key', () => {
  const { master, keys } = open();
  const { transform } = keys;
  expect(keys.transform).toBe(transform);
  expect(() => keys.assertLive()).not.toThrow();
  keys.dispose();
  expect([keys.disposed, master.key.disposed, master.salt.disposed]).toEqual([true, true, true]);
  expect(() => keys.assertLive()).toThrow(expect.objectContaining({ code: 'SECRET_DISPOSED' }));
  expect(() => transform.sealRtp(new Uint8Array(12), 12, 0)).toThrow();
});

it('wipes a master key that nothing was derived from', () => {
  const { master, keys } = open();
  keys.dispose();
  expect([master.key.disposed, master.salt.disposed]).toEqual([true, true]);
});
