import { describe, expect, it } from 'vitest';
import { ecdhe, NAMED_GROUP } from '../../../../src/transport/dtls/key-exchange.ts';
import { fromHex, toHex } from '../../../../src/util/bytes.ts';
import { type RandomSource, secureRandom } from '../../../../src/util/rng.ts';
import { seededRandom } from '../../../support/seeded-rng.ts';

/** RFC 7748 §6.1. */
const X25519 = {
  group: NAMED_GROUP.x25519,
  private: '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
  public: '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
  peer: 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
  shared: '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
};

/** RFC 5903 §8.1. */
const P256 = {
  group: NAMED_GROUP.secp256r1,
  private: 'c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433',
  public:
    '04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180' +
    '5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3',
  peer:
    '04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63' +
    '56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab',
  shared: 'd6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de',
};

/** A source that has these draws to give, one after the other. */
function drawing(...draws: readonly string[]): RandomSource {
  const left = draws.map(fromHex);
  return { fill: (target) => target.set(left.shift()!) };
}

describe('ECDHE', () => {
  it.each([
    ['X25519', X25519],
    ['P-256', P256],
  ])('gives the known answer over %s', (_, vector) => {
    const result = ecdhe(vector.group, fromHex(vector.peer), drawing(vector.private))!;
    expect(toHex(result.publicKey)).toBe(vector.public);
    expect(toHex(result.premaster.bytes)).toBe(vector.shared);
  });

  it.each(Object.values(NAMED_GROUP))('takes another private key each time over group %i', (group) => {
    const peer = fromHex(group === NAMED_GROUP.x25519 ? X25519.peer : P256.peer);
    const rng = seededRandom(1);
    const [one, other] = [ecdhe(group, peer, rng)!, ecdhe(group, peer, rng)!];
    expect(one.publicKey).not.toEqual(other.publicKey);
    expect(one.premaster.bytes).not.toEqual(other.premaster.bytes);
  });

  it('draws again where a draw is no private key of P-256', () => {
    const rng = drawing('00'.repeat(32), 'ff'.repeat(32), P256.private);
    const result = ecdhe(P256.group, fromHex(P256.peer), rng)!;
    expect(toHex(result.publicKey)).toBe(P256.public);
  });

  // The points of small order, of which any multiple is zero: RFC 7748 §6.1 and https://cr.yp.to/ecdh.html#validate.
  it.each([
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ecffff${'ff'.repeat(28)}7f`,
    `edffff${'ff'.repeat(28)}7f`,
    `eeffff${'ff'.repeat(28)}7f`,
  ])('refuses the low-order X25519 point %s', (peer) => {
    expect(ecdhe(NAMED_GROUP.x25519, fromHex(peer), secureRandom)).toBeUndefined();
  });

  it.each([
    ['is not on the curve', `${P256.peer.slice(0, -2)}ac`],
    ['is compressed', `02${P256.peer.slice(2, 66)}`],
    ['is in hybrid form', `06${P256.peer.slice(2)}`],
    ['is the point at infinity', '00'],
    ['is short', P256.peer.slice(0, -2)],
    ['is long', `${P256.peer}00`],
  ])('refuses a P-256 point that %s', (_, peer) => {
    expect(ecdhe(NAMED_GROUP.secp256r1, fromHex(peer), secureRandom)).toBeUndefined();
  });

  it.each([31, 33, 0])('refuses an X25519 key of %i bytes', (length) => {
    expect(ecdhe(NAMED_GROUP.x25519, new Uint8Array(length).fill(9), secureRandom)).toBeUndefined();
  });

  it('refuses a group it does not know', () => {
    expect(ecdhe(0x0018, fromHex(P256.peer), secureRandom)).toBeUndefined();
  });
});
