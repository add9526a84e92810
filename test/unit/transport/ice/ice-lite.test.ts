import { beforeEach, describe, expect, it } from 'vitest';
import type { Address } from '../../../../src/transport/address.ts';
import {
  createIceCredentials,
  type IceAnswer,
  type IceCredentials,
  IceLite,
  localUfragOf,
} from '../../../../src/transport/ice/ice-lite.ts';
import { bindingSuccess, parseStun, STUN_TYPE } from '../../../../src/transport/ice/stun.ts';
import { fromHex, utf8 } from '../../../../src/util/bytes.ts';
import { randomBytes } from '../../../../src/util/rng.ts';
import { seededRandom } from '../../../support/seeded-rng.ts';
import { bindingRequest, stunRequest } from '../../../support/stun.ts';

const LOCAL: IceCredentials = { ufrag: 'locl', pwd: 'local-password-of-22-c' };
const AFTER: IceCredentials = { ufrag: 'next', pwd: 'after-password-of-22-c' };
const REMOTE = 'rmte';
const HERE: Address = { ip: '192.0.2.1', port: 1000 };
const THERE: Address = { ip: '192.0.2.2', port: 2000 };

const USERNAME = { type: 0x0006, value: utf8(`${LOCAL.ufrag}:${REMOTE}`) };

const rng = seededRandom(1);
let ice: IceLite;
beforeEach(() => {
  ice = new IceLite(LOCAL, REMOTE);
});

function check(options: { from?: IceCredentials; remote?: string; nominate?: boolean } = {}): Uint8Array {
  const { from = LOCAL, remote = REMOTE, nominate = false } = options;
  return bindingRequest({
    transactionId: randomBytes(rng, 12),
    username: `${from.ufrag}:${remote}`,
    password: from.pwd,
    priority: 1,
    tieBreaker: new Uint8Array(8),
    useCandidate: nominate,
  });
}

const at = (port: number): Address => ({ ip: '192.0.2.9', port });

/** What a datagram must not have changed. */
function untouched(agent: IceLite = ice): void {
  expect(agent.heardAt).toBeUndefined();
  expect(agent.selected).toBeUndefined();
  expect(agent.isValidated(HERE)).toBe(false);
}

function errorCodeOf(answer: IceAnswer | undefined): number | undefined {
  const response = answer?.response ?? new Uint8Array(0);
  if (parseStun(response)?.type !== STUN_TYPE.bindingError) return undefined;
  return response[26]! * 100 + response[27]!;
}

describe('createIceCredentials', () => {
  it('makes a ufrag and a password of ice-chars, long enough (RFC 8445 §5.3), never the same', () => {
    const seen = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const { ufrag, pwd } = createIceCredentials(rng);
      expect(ufrag).toMatch(/^[A-Za-z0-9+/]{8}$/);
      expect(pwd).toMatch(/^[A-Za-z0-9+/]{24}$/);
      seen.add(ufrag).add(pwd);
    }
    expect(seen.size).toBe(400);
  });
});

describe('a check', () => {
  it('is answered with its own address, signed, and validates it without selecting it', () => {
    const asked = check();
    const answer = ice.handleDatagram(asked, HERE, 5)!;
    expect(answer).toMatchObject({ validated: true });
    expect(answer.response).toEqual(bindingSuccess(parseStun(asked)!, HERE, LOCAL.pwd));
    expect(ice.isValidated(HERE)).toBe(true);
    expect(ice.isValidated(THERE)).toBe(false);
    expect(ice.selected).toBeUndefined();
    expect(ice.heardAt).toBe(5);
  });

  it('with USE-CANDIDATE selects the address it comes from, the newest wins', () => {
    expect(ice.handleDatagram(check({ nominate: true }), HERE, 1)).toMatchObject({ validated: true });
    expect(ice.selected).toEqual(HERE);
    ice.handleDatagram(check(), THERE, 2);
    expect(ice.selected).toEqual(HERE);
    ice.handleDatagram(check({ nominate: true }), THERE, 3);
    expect(ice.selected).toEqual(THERE);
  });

  it.each([
    ['another local half', () => check({ from: { ...LOCAL, ufrag: 'othr' } }), 'unknown username'],
    ['another remote half', () => check({ remote: 'othr' }), 'unknown username'],
    ['an empty remote half', () => check({ remote: '' }), 'unknown username'],
    ['more behind the remote half', () => check({ remote: `${REMOTE}:x` }), 'unknown username'],
    [
      'the halves swapped',
      () => check({ from: { ...LOCAL, ufrag: REMOTE }, remote: 'locl' }),
      'unknown username',
    ],
    ['another password', () => check({ from: { ...LOCAL, pwd: AFTER.pwd } }), 'bad integrity'],
    ['no integrity', () => stunRequest([USERNAME]), 'bad integrity'],
    ['no username', () => stunRequest([{ type: 0x0024, value: new Uint8Array(4) }]), 'unknown username'],
    ['bytes that are no STUN', () => fromHex('000100000000'), 'malformed'],
    ['a response', () => bindingSuccess(parseStun(check())!, HERE, LOCAL.pwd), 'not a request'],
  ] as const)('with %s gets no answer and changes nothing', (_what, datagram, reason) => {
    expect(ice.handleDatagram(datagram(), HERE, 5)).toBeUndefined();
    expect(ice.drops.toJSON()).toEqual({ [reason]: 1 });
    untouched();
  });

  it('gets no answer that is longer than itself', () => {
    const asked = check();
    const answer = ice.handleDatagram(asked, { ip: '2001:db8::1', port: 65_535 }, 5)!;
    expect(answer.response.length).toBeLessThanOrEqual(asked.length);
  });

  it('may have any remote half before the answer has told it, and none but it afterwards', () => {
    const fresh = new IceLite(LOCAL);
    expect(fresh.handleDatagram(check({ remote: 'any1' }), HERE, 1)).toBeDefined();
    fresh.setRemoteUfrag('told');
    expect(fresh.handleDatagram(check({ remote: 'any1' }), HERE, 2)).toBeUndefined();
    expect(fresh.handleDatagram(check({ remote: 'told' }), HERE, 3)).toBeDefined();
    expect(fresh.heardAt).toBe(3);
  });

  it('needs a colon in its username even then', () => {
    const fresh = new IceLite(LOCAL);
    const request = bindingRequest({
      transactionId: randomBytes(rng, 12),
      username: `${LOCAL.ufrag}x`,
      password: LOCAL.pwd,
      priority: 1,
      tieBreaker: new Uint8Array(8),
      useCandidate: true,
    });
    expect(fresh.handleDatagram(request, HERE, 1)).toBeUndefined();
    untouched(fresh);
  });

  it('of an agent that is controlled too is told to switch (487), and validates nothing', () => {
    const answer = ice.handleDatagram(signed(0x8029, new Uint8Array(8)), HERE, 5);
    expect(errorCodeOf(answer)).toBe(487);
    expect(answer).toMatchObject({ validated: false });
    untouched();
  });

  it('with an attribute that has to be understood and is not is refused (420), and validates nothing', () => {
    const answer = ice.handleDatagram(signed(0x7ffe, new Uint8Array(4)), HERE, 5);
    expect(errorCodeOf(answer)).toBe(420);
    untouched();
  });

  it.each([
    ['controlled', 0x8029],
    ['with an unknown attribute', 0x7ffe],
  ])('%s gets no error either where it is not authentic', (_what, type) => {
    const forged = signed(type, new Uint8Array(8), 'wrong password of 22 c');
    expect(ice.handleDatagram(forged, HERE, 5)).toBeUndefined();
    untouched();
  });

  function signed(type: number, value: Uint8Array, password = LOCAL.pwd): Uint8Array {
    return stunRequest([USERNAME, { type, value }], password);
  }
});

describe('addresses', () => {
  it('are eight at most: the oldest goes, but never the selected one', () => {
    ice.handleDatagram(check({ nominate: true }), at(1), 0);
    for (let port = 2; port <= 8; port++) ice.handleDatagram(check(), at(port), port);
    expect([1, 2, 3, 4, 5, 6, 7, 8].every((port) => ice.isValidated(at(port)))).toBe(true);
    ice.handleDatagram(check(), at(9), 9);
    expect([1, 2, 3, 9].map((port) => ice.isValidated(at(port)))).toEqual([true, false, true, true]);
    for (let port = 10; port < 1_000; port++) ice.handleDatagram(check(), at(port), port);
    const valid = Array.from({ length: 1_000 }, (_, port) => port).filter((port) =>
      ice.isValidated(at(port)),
    );
    expect(valid.length).toBe(8);
    expect(valid[0]).toBe(1);
    expect(ice.selected).toEqual(at(1));
  });

  it('of an earlier process is selected and validated from the start', () => {
    const resumed = new IceLite(LOCAL, REMOTE, HERE);
    expect(resumed.selected).toEqual(HERE);
    expect(resumed.isValidated(HERE)).toBe(true);
    expect(resumed.isValidated(THERE)).toBe(false);
    expect(resumed.heardAt).toBeUndefined();
  });
});

describe('a check that was recorded', () => {
  it('takes the media nowhere else, validates no address and keeps no consent', () => {
    const recorded = check({ nominate: true });
    ice.handleDatagram(recorded, HERE, 1);
    expect(ice.handleDatagram(recorded, THERE, 2)).toBeUndefined();
    expect(ice.drops.toJSON()).toEqual({ replayed: 1 });
    expect(ice.selected).toEqual(HERE);
    expect(ice.isValidated(THERE)).toBe(false);
    expect(ice.heardAt).toBe(1);
    expect(ice.handleDatagram(check({ nominate: true }), THERE, 3)).toMatchObject({ validated: true });
    expect(ice.selected).toEqual(THERE);
  });

  it('is answered where it came from, as a retransmission is, and changes nothing there either', () => {
    const sent = check({ nominate: true });
    const answer = ice.handleDatagram(sent, HERE, 1);
    ice.handleDatagram(check({ nominate: true }), THERE, 2);
    expect(ice.handleDatagram(sent, HERE, 3)).toEqual(answer);
    expect(ice.selected).toEqual(THERE);
    expect(ice.heardAt).toBe(2);
  });

  it('is known after a thousand others and an ICE restart', () => {
    const recorded = check({ nominate: true });
    ice.handleDatagram(recorded, HERE, 0);
    for (let i = 1; i < 1_024; i++) ice.handleDatagram(check(), HERE, i);
    ice.restart(AFTER);
    expect(ice.handleDatagram(recorded, THERE, 2_000)).toBeUndefined();
    expect(ice.selected).toEqual(HERE);
  });
});

describe('consent', () => {
  it('is that of the address that media goes to: checks from others do not renew it', () => {
    ice.handleDatagram(check({ nominate: true }), HERE, 1);
    ice.handleDatagram(check(), THERE, 2);
    expect(ice.heardAt).toBe(1);
    ice.handleDatagram(check(), HERE, 3);
    expect(ice.heardAt).toBe(3);
    ice.handleDatagram(check({ nominate: true }), THERE, 4);
    expect(ice.heardAt).toBe(4);
  });
});

describe('an ICE restart', () => {
  beforeEach(() => {
    ice.handleDatagram(check({ nominate: true }), HERE, 1);
    ice.restart(AFTER);
  });

  it('keeps the address in use and answers under both credentials', () => {
    expect(ice.ufrags).toEqual([AFTER.ufrag, LOCAL.ufrag]);
    expect(ice.credentials).toBe(AFTER);
    expect(ice.selected).toEqual(HERE);
    expect(ice.handleDatagram(check(), HERE, 2)).toMatchObject({ validated: true });
    const asked = check({ from: AFTER, remote: 'rnew' });
    expect(ice.handleDatagram(asked, THERE, 3)!.response).toEqual(
      bindingSuccess(parseStun(asked)!, THERE, AFTER.pwd),
    );
    expect(ice.selected).toEqual(HERE);
  });

  it('keeps the old credentials until an address is nominated under the new ones', () => {
    ice.handleDatagram(check({ from: AFTER }), THERE, 2);
    ice.handleDatagram(check({ nominate: true }), HERE, 3);
    expect(ice.ufrags).toEqual([AFTER.ufrag, LOCAL.ufrag]);
    ice.handleDatagram(check({ from: AFTER, nominate: true }), THERE, 4);
    expect(ice.ufrags).toEqual([AFTER.ufrag]);
    expect(ice.selected).toEqual(THERE);
    expect(ice.handleDatagram(check({ nominate: true }), HERE, 5)).toBeUndefined();
    expect(ice.selected).toEqual(THERE);
  });

  it('mixes no credentials: the ufrag of one with the password of the other is nobody', () => {
    expect(ice.handleDatagram(check({ from: { ...AFTER, pwd: LOCAL.pwd } }), THERE, 2)).toBeUndefined();
    expect(ice.handleDatagram(check({ from: { ...LOCAL, pwd: AFTER.pwd } }), THERE, 2)).toBeUndefined();
    expect(ice.isValidated(THERE)).toBe(false);
  });

  it('asks for the old remote half under the old credentials only', () => {
    ice.setRemoteUfrag('rnew');
    expect(ice.handleDatagram(check({ remote: 'rnew' }), HERE, 2)).toBeUndefined();
    expect(ice.handleDatagram(check({ from: AFTER }), THERE, 2)).toBeUndefined();
    expect(ice.handleDatagram(check(), HERE, 2)).toBeDefined();
    expect(ice.handleDatagram(check({ from: AFTER, remote: 'rnew' }), THERE, 2)).toBeDefined();
  });

  it('over another one that nobody has answered keeps the credentials in use', () => {
    ice.restart({ ufrag: 'thrd', pwd: 'third-password-of-22-c' });
    expect(ice.handleDatagram(check(), HERE, 2)).toMatchObject({ validated: true });
    expect(ice.handleDatagram(check({ from: AFTER }), HERE, 3)).toMatchObject({ validated: true });
  });

  it('repeated for ever keeps those in use, the newest and the one before, and one after a nomination', () => {
    const named = (i: number): IceCredentials => ({ ufrag: `gen${i}`, pwd: LOCAL.pwd });
    for (let i = 0; i < 20; i++) ice.restart(named(i));
    expect(ice.ufrags).toEqual(['gen19', 'gen18', LOCAL.ufrag]);
    ice.handleDatagram(check({ from: named(19), nominate: true }), THERE, 2);
    expect(ice.ufrags).toEqual(['gen19']);
  });
});

describe('localUfragOf', () => {
  it('gives the local half of what may be a check', () => {
    expect(localUfragOf(check())).toBe(LOCAL.ufrag);
    expect(localUfragOf(stunRequest([{ type: 0x0024, value: new Uint8Array(4) }]))).toBeUndefined();
    expect(localUfragOf(fromHex('0001'))).toBeUndefined();
  });
});
