import { createCipheriv } from 'node:crypto';
import { SRTP_PROFILES } from '../../src/transport/srtp/profile.ts';
import { deriveSessionKeys, type PacketKeys } from '../../src/transport/srtp/session-keys.ts';
import { bufferOf } from '../../src/util/bytes.ts';
import type { Pattern } from './memory.ts';
import { compress, initialState, paddedWords } from './sha1.ts';
import type { Association } from './virtual-browser.ts';

/** SSRCs under which packets of an association went, by direction as its browser sees it. */
export interface Ssrcs {
  readonly local: readonly number[];
  readonly remote: readonly number[];
}

/** Every SRTP key of an association, in every form in which code is known to hold it. */
export function srtpForms(label: string, { keys }: Association, ssrcs: Ssrcs): Pattern[] {
  return (['local', 'remote'] as const).flatMap((side) => {
    const name = `${label} ${side}`;
    const master = keys[side];
    const session = deriveSessionKeys(keys.profile, master);
    const { saltBytes } = SRTP_PROFILES[keys.profile];
    return [
      ...aesForms(`${name} master key`, master.key.bytes),
      { name: `${name} master salt`, bytes: master.salt.bytes },
      ...packetForms(`${name} rtp`, session.rtp, saltBytes, ssrcs[side]),
      ...packetForms(`${name} rtcp`, session.rtcp, saltBytes, []),
    ];
  });
}

/** The secrets of the handshake itself. */
export function handshakeForms(label: string, { secrets }: Association): Pattern[] {
  const { premaster, master, keyBlock } = secrets;
  // RFC 5246 §6.3: two keys, then two salts of four bytes, which are too short to look for.
  const keyBytes = (keyBlock.length - 8) / 2;
  return [
    ...hmacForms(`${label} premaster secret`, premaster.bytes),
    ...hmacForms(`${label} master secret`, master.bytes),
    ...aesForms(`${label} client write key`, keyBlock.bytes.subarray(0, keyBytes)),
    ...aesForms(`${label} server write key`, keyBlock.bytes.subarray(keyBytes, 2 * keyBytes)),
  ];
}

function packetForms(
  name: string,
  { encryption, authentication, salt }: PacketKeys,
  saltBytes: number,
  ssrcs: readonly number[],
): Pattern[] {
  return [
    ...aesForms(`${name} encryption key`, encryption.bytes),
    ...(authentication === undefined ? [] : hmacForms(`${name} authentication key`, authentication.bytes)),
    { name: `${name} salt`, bytes: salt.bytes },
    ...ssrcs.map((ssrc) => ({
      name: `${name} salt in a nonce`,
      bytes: nonceHead(salt.bytes, saltBytes, ssrc),
    })),
  ];
}

/** What all nonces of a stream with rollover counter zero begin with (RFC 3711 §4.1.1, RFC 7714 §8.1). */
function nonceHead(salt: Uint8Array, saltBytes: number, ssrc: number): Uint8Array {
  const gcm = saltBytes === 12;
  const head = salt.slice(0, gcm ? 8 : 12);
  const view = new DataView(head.buffer);
  const at = gcm ? 2 : 4;
  view.setUint32(at, view.getUint32(at) ^ ssrc);
  return head;
}

/** The key, the end of its schedule, and the GHASH subkey as it is and as a pair of native 64-bit words. */
function aesForms(name: string, key: Uint8Array): Pattern[] {
  const subkey = new Uint8Array(
    createCipheriv(key.length === 32 ? 'aes-256-ecb' : 'aes-128-ecb', key, null).update(new Uint8Array(16)),
  );
  return [
    { name, bytes: key },
    { name: `${name}: last round key`, bytes: lastRoundKey(key) },
    { name: `${name}: hash subkey`, bytes: subkey },
    { name: `${name}: hash subkey, swapped`, bytes: bufferOf(subkey.slice()).swap64() },
  ];
}

/** The key, the two blocks that HMAC makes of it, as bytes and as 32-bit words, and SHA-1's state after each. */
function hmacForms(name: string, key: Uint8Array): Pattern[] {
  return [
    { name, bytes: key },
    ...[0x36, 0x5c].flatMap((pad) => {
      const block = new Uint8Array(64).fill(pad);
      for (const [i, byte] of key.entries()) block[i] = byte ^ pad;
      const mixed = block.slice(0, key.length);
      return [
        { name: `${name}: pad ${pad}`, bytes: mixed },
        { name: `${name}: pad ${pad}, in words`, bytes: bufferOf(mixed.slice(0, key.length & ~3)).swap32() },
        { name: `${name}: state after pad ${pad}`, bytes: sha1State(block) },
      ];
    }),
  ];
}

/** The key schedule's last sixteen bytes (FIPS 197 §5.2). */
export function lastRoundKey(key: Uint8Array): Uint8Array {
  const words = key.length / 4;
  const total = 4 * (words + 7);
  const schedule = new Uint8Array(4 * total);
  schedule.set(key);
  for (let i = words, round = 1; i < total; i++) {
    const word = schedule.slice(4 * (i - 1), 4 * i);
    if (i % words === 0) {
      word.set([word[1]!, word[2]!, word[3]!, word[0]!].map((byte) => SBOX[byte]!));
      word[0]! ^= round;
      round = times2(round);
    } else if (words === 8 && i % words === 4) word.set(word.map((byte) => SBOX[byte]!));
    for (let j = 0; j < 4; j++) schedule[4 * i + j] = schedule[4 * (i - words) + j]! ^ word[j]!;
  }
  return schedule.slice(-16);
}

const times2 = (value: number): number => ((value << 1) ^ (value & 0x80 ? 0x11b : 0)) & 0xff;

/** FIPS 197 §5.1.1: the inverse in GF(2^8), by powers of three, and an affine map. */
const SBOX: readonly number[] = (() => {
  const box = Array<number>(256).fill(0x63);
  let [power, inverse] = [1, 1];
  do {
    power = power ^ times2(power);
    // Divides by three.
    for (const shift of [1, 2, 4]) inverse ^= inverse << shift;
    inverse &= 0xff;
    if (inverse & 0x80) inverse ^= 0x09;
    let value = inverse;
    for (const turn of [1, 2, 3, 4]) value ^= (inverse << turn) | (inverse >> (8 - turn));
    box[power] = (value & 0xff) ^ 0x63;
  } while (power !== 1);
  return box;
})();

/** SHA-1's five words after one block, as a little-endian machine holds them. */
function sha1State(block: Uint8Array): Uint8Array {
  const state = initialState();
  compress(state, paddedWords(block, 0));
  const bytes = new Uint8Array(state.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of state.entries()) view.setInt32(4 * i, word, true);
  return bytes;
}
