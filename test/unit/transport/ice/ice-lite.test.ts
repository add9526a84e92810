import { beforeEach, describe, expect, it } from 'vitest';
import type { Address } from '../../../../src/transport/address.ts';
import {
  addresseeOf,
  createIceCredentials,
  type IceCredentials,
  IceLite,
  type IceOutput,
} from '../../../../src/transport/ice/ice-lite.ts';
import {
  bindingError,
  bindingSuccess,
  parseStun,
  STUN_TYPE,
  verifyIntegrity,
} from '../../../../src/transport/ice/stun.ts';
import { fromHex, toHex, utf8 } from '../../../../src/util/bytes.ts';
import type { Millis } from '../../../../src/util/clock.ts';
import { randomBytes } from '../../../../src/util/rng.ts';
import { seededRandom } from '../../../support/seeded-rng.ts';
import { bindingRequest, stunRequest } from '../../../support/stun.ts';

const LOCAL: IceCredentials = { ufrag: 'locl', pwd: 'local-password-of-22-c' };
const AFTER: IceCredentials = { ufrag: 'next', pwd: 'after-password-of-22-c' };
const REMOTE: IceCredentials = { ufrag: 'rmte', pwd: 'remote-password-of-22c' };
const RENEWED: IceCredentials = { ufrag: 'rnew', pwd: 'renewed-password-of-22' };
const HERE: Address = { ip: '192.0.2.1', port: 1000 };
const THERE: Address = { ip: '192.0.2.2', port: 2000 };
const SERVER: Address = { ip: '192.0.2.3', port: 8080 };

const USERNAME = { type: 0x0006, value: utf8(`${LOCAL.ufrag}:${REMOTE.ufrag}`) };

const rng = seededRandom(1);
let ice: IceLite;
beforeEach(() => {
  ice = new IceLite(LOCAL, rng);
  ice.setRemote(REMOTE, 0);
});

function check(options: { from?: IceCredentials; remote?: string; nominate?: boolean } = {}): Uint8Array {
  const { from = LOCAL, remote = REMOTE.ufrag, nominate = false } = options;
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

function drain(): IceOutput[] {
  const outputs: IceOutput[] = [];
  for (let output = ice.pollOutput(); output !== undefined; output = ice.pollOutput()) outputs.push(output);
  return outputs;
}

/** A datagram arrives; gives what follows from it. */
function hear(datagram: Uint8Array, from = HERE, now: Millis = 1): IceOutput[] {
  ice.handleDatagram(datagram, from, now);
  return drain();
}

const sent = (outputs: readonly IceOutput[], type: number) =>
  outputs.flatMap((output) =>
    output.kind === 'transmit' && parseStun(output.datagram)?.type === type ? [output] : [],
  );
const probes = (outputs: readonly IceOutput[]) => sent(outputs, STUN_TYPE.bindingRequest);
const answers = (outputs: readonly IceOutput[]) => sent(outputs, STUN_TYPE.bindingSuccess);
const kinds = (outputs: readonly IceOutput[]) => outputs.map(({ kind }) => kind);

/** What the peer responds to the probe among these. */
function responseTo(outputs: readonly IceOutput[], { pwd } = REMOTE): Uint8Array {
  const [probe] = probes(outputs);
  return bindingSuccess(parseStun(probe!.datagram)!, SERVER, pwd);
}

/** A check arrives from an address where the peer is, which answers what it is asked. */
function meet(
  from = HERE,
  now: Millis = 1,
  options: Parameters<typeof check>[0] = {},
  remote = REMOTE,
): IceOutput[] {
  const outputs = hear(check(options), from, now);
  return probes(outputs).length === 0
    ? outputs
    : [...outputs, ...hear(responseTo(outputs, remote), from, now)];
}

const nominate = (from = HERE, now: Millis = 1) => meet(from, now, { nominate: true });

/** What a datagram must not have changed. */
function untouched(agent: IceLite = ice): void {
  expect(agent.heardAt).toBeUndefined();
  expect(agent.selected).toBeUndefined();
  expect(agent.isValidated(HERE)).toBe(false);
}

function errorCodeOf(outputs: readonly IceOutput[]): number | undefined {
  const response = sent(outputs, STUN_TYPE.bindingError)[0]?.datagram;
  return response && response[26]! * 100 + response[27]!;
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
  it('is answered with its own address, signed, once that has answered a probe, which validates it without selecting it', () => {
    const asked = check();
    const outputs = hear(asked);
    expect(kinds(outputs)).toEqual(['probing', 'transmit']);
    expect(probes(outputs).map(({ to }) => to)).toEqual([HERE]);
    untouched();
    const after = hear(responseTo(outputs), HERE, 5);
    expect(after).toEqual([
      { kind: 'validated', address: HERE },
      { kind: 'transmit', to: HERE, datagram: bindingSuccess(parseStun(asked)!, HERE, LOCAL.pwd) },
    ]);
    expect(ice.isValidated(HERE)).toBe(true);
    expect(ice.isValidated(THERE)).toBe(false);
    expect(ice.selected).toBeUndefined();
  });

  it('with USE-CANDIDATE selects the address it comes from, the newest wins', () => {
    expect(kinds(nominate())).toEqual(['probing', 'transmit', 'validated', 'transmit', 'selected']);
    expect(ice.selected).toEqual(HERE);
    meet(THERE);
    expect(ice.selected).toEqual(HERE);
    expect(kinds(nominate(THERE))).toEqual(['transmit', 'selected']);
    expect(ice.selected).toEqual(THERE);
    expect(kinds(nominate(THERE))).toEqual(['transmit']);
  });

  it.each([
    ['another local half', () => check({ from: { ...LOCAL, ufrag: 'othr' } }), 'unknown username'],
    ['another remote half', () => check({ remote: 'othr' }), 'unknown username'],
    ['an empty remote half', () => check({ remote: '' }), 'unknown username'],
    ['more behind the remote half', () => check({ remote: `${REMOTE.ufrag}:x` }), 'unknown username'],
    [
      'the halves swapped',
      () => check({ from: { ...LOCAL, ufrag: REMOTE.ufrag }, remote: 'locl' }),
      'unknown username',
    ],
    ['another password', () => check({ from: { ...LOCAL, pwd: AFTER.pwd } }), 'bad integrity'],
    ['no integrity', () => stunRequest([USERNAME]), 'bad integrity'],
    ['no username', () => stunRequest([{ type: 0x0024, value: new Uint8Array(4) }]), 'unknown username'],
    ['bytes that are no STUN', () => fromHex('000100000000'), 'malformed'],
    ['a response', () => bindingSuccess(parseStun(check())!, HERE, LOCAL.pwd), 'unexpected response'],
  ] as const)('with %s gets no answer and changes nothing', (_what, datagram, reason) => {
    expect(hear(datagram())).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ [reason]: 1 });
    untouched();
  });

  it('gets no answer that is longer than itself', () => {
    const asked = check();
    const address = { ip: '2001:db8::1', port: 65_535 };
    const outputs = hear(asked, address);
    const [answer] = answers(hear(responseTo(outputs), address));
    expect(answer!.datagram.length).toBeLessThanOrEqual(asked.length);
  });

  it('may have any remote half before the answer has told it, and none but it afterwards', () => {
    ice = new IceLite(LOCAL, rng);
    hear(check({ remote: 'any1' }));
    expect(ice.drops.total).toBe(0);
    ice.setRemote({ ...REMOTE, ufrag: 'told' }, 2);
    expect(drain()).toEqual([]);
    expect(hear(check({ remote: 'any1' }))).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ 'unknown username': 1 });
    expect(probes(hear(check({ remote: 'told' }))).length).toBe(1);
  });

  it('needs a colon in its username even then', () => {
    ice = new IceLite(LOCAL, rng);
    const request = bindingRequest({
      transactionId: randomBytes(rng, 12),
      username: `${LOCAL.ufrag}x`,
      password: LOCAL.pwd,
      priority: 1,
      tieBreaker: new Uint8Array(8),
      useCandidate: true,
    });
    expect(hear(request)).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ 'unknown username': 1 });
    untouched();
  });

  it('of an agent that is controlled too is told to switch (487), and validates nothing', () => {
    expect(errorCodeOf(hear(signed(0x8029, new Uint8Array(8))))).toBe(487);
    untouched();
  });

  it('with an attribute that has to be understood and is not is refused (420), and validates nothing', () => {
    expect(errorCodeOf(hear(signed(0x7ffe, new Uint8Array(20))))).toBe(420);
    untouched();
  });

  it('is not refused with more bytes than it has', () => {
    expect(hear(signed(0x7ffe, new Uint8Array(0)))).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ unanswerable: 1 });
  });

  it.each([
    ['controlled', 0x8029],
    ['with an unknown attribute', 0x7ffe],
  ])('%s gets no error either where it is not authentic', (_what, type) => {
    expect(hear(signed(type, new Uint8Array(20), 'wrong password of 22 c'))).toEqual([]);
    untouched();
  });

  function signed(type: number, value: Uint8Array, password = LOCAL.pwd): Uint8Array {
    return stunRequest([USERNAME, { type, value }], password);
  }
});

describe('a probe', () => {
  it('has the check behind it answered also where the memory of that check is something else by then', () => {
    const asked = check();
    const transaction = parseStun(asked)!.transactionId.slice();
    const outputs = hear(asked);
    asked.fill(0xee);
    const [answer] = answers(hear(responseTo(outputs)));
    expect(parseStun(answer!.datagram)!.transactionId).toEqual(transaction);
  });

  it('is a check of a controlled agent that nominates nothing, signed for the peer, the same each time', () => {
    const first = hear(check());
    const [probe] = probes(first);
    const message = parseStun(probe!.datagram)!;
    expect(message).toMatchObject({
      username: `${REMOTE.ufrag}:${LOCAL.ufrag}`,
      role: 'controlled',
      useCandidate: false,
      unknown: [],
    });
    expect(verifyIntegrity(message, REMOTE.pwd)).toBe(true);
    expect(first[0]).toEqual({ kind: 'probing', transaction: toHex(message.transactionId) });
    expect(ice.isProbing(toHex(message.transactionId))).toBe(true);
    expect(ice.isProbing('00'.repeat(12))).toBe(false);
    expect(hear(check())).toEqual([probe]);
  });

  it('waits for the answer that tells how to sign it', () => {
    ice = new IceLite(LOCAL, rng);
    expect(hear(check({ nominate: true }))).toEqual([]);
    ice.setRemote(REMOTE, 2);
    const outputs = drain();
    expect(probes(outputs).map(({ to }) => to)).toEqual([HERE]);
    expect(kinds(hear(responseTo(outputs)))).toEqual(['validated', 'transmit', 'selected']);
  });

  it('is another where the answer is another, and the response to the one before is void', () => {
    const before = hear(check());
    ice.setRemote({ ...REMOTE, pwd: RENEWED.pwd }, 1);
    const fresh = [...drain(), ...hear(check())];
    expect(hear(responseTo(before))).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ 'unexpected response': 1 });
    expect(kinds(hear(responseTo(fresh, RENEWED)))).toEqual(['validated', 'transmit']);
  });

  it.each([
    [
      'from another address',
      (outputs: IceOutput[]) => hear(responseTo(outputs), THERE),
      'unexpected response',
    ],
    ['with another password', (outputs: IceOutput[]) => hear(responseTo(outputs, LOCAL)), 'bad integrity'],
    [
      'to another transaction',
      () => hear(bindingSuccess(parseStun(check())!, SERVER, REMOTE.pwd)),
      'unexpected response',
    ],
    [
      'that is an error',
      (outputs: IceOutput[]) => hear(bindingError(parseStun(probes(outputs)[0]!.datagram)!, 487, REMOTE.pwd)),
      'unexpected response',
    ],
  ] as const)('is not answered by a response %s', (_what, answer, reason) => {
    const outputs = hear(check({ nominate: true }));
    expect(answer([...outputs])).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ [reason]: 1 });
    untouched();
    expect(kinds(hear(responseTo(outputs)))).toContain('selected');
  });

  it('is answered once', () => {
    const response = responseTo(hear(check()));
    expect(hear(response)).not.toEqual([]);
    expect(hear(response)).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ 'unexpected response': 1 });
  });

  it('is not sent to an address where it would be more than has come from there', () => {
    const short = () => stunRequest([USERNAME], LOCAL.pwd, randomBytes(rng, 12));
    let bytesIn = 0;
    let bytesOut = 0;
    for (let i = 0; i < 100; i++) {
      const datagram = short();
      bytesIn += datagram.length;
      for (const output of hear(datagram)) {
        if (output.kind === 'transmit') bytesOut += output.datagram.length;
      }
      expect(bytesOut).toBeLessThanOrEqual(bytesIn);
    }
    expect(bytesOut).toBeGreaterThan(bytesIn / 2);
  });
});

describe('an address that is nominated while media goes to another', () => {
  beforeEach(() => {
    nominate();
  });

  it('gets a probe and nothing else, for ever, where nobody answers it', () => {
    for (let now = 2; now < 60_000; now += 500) {
      const outputs = hear(check({ nominate: true }), THERE, now);
      expect(probes(outputs).length).toBe(kinds(outputs).filter((kind) => kind === 'transmit').length);
    }
    expect(ice.selected).toEqual(HERE);
    expect(ice.isValidated(THERE)).toBe(false);
  });

  it('does not get the media by answering when another has been nominated since', () => {
    const outputs = hear(check({ nominate: true }), THERE, 2);
    hear(check({ nominate: true }), HERE, 3);
    expect(kinds(hear(responseTo(outputs), THERE, 4))).toEqual(['validated', 'transmit']);
    expect(ice.selected).toEqual(HERE);
  });

  it('does, one round trip later, where it answers', () => {
    expect(kinds(nominate(THERE, 2))).toContain('selected');
    expect(ice.selected).toEqual(THERE);
  });
});

describe('addresses that are nominated one after the other', () => {
  it('are each selected once they answer, whether a newer one ever does or not', () => {
    const [older, newer] = [HERE, THERE].map((from) => hear(check({ nominate: true }), from, 2));
    expect(kinds(hear(responseTo(older!), HERE, 3))).toEqual(['validated', 'transmit', 'selected']);
    expect(kinds(hear(responseTo(newer!), THERE, 4))).toEqual(['validated', 'transmit', 'selected']);
    expect(ice.selected).toEqual(THERE);
  });

  it('do not take the media back from a newer one by answering late', () => {
    const [older, newer] = [HERE, THERE].map((from) => hear(check({ nominate: true }), from, 2));
    expect(kinds(hear(responseTo(newer!), THERE, 3))).toEqual(['validated', 'transmit', 'selected']);
    expect(kinds(hear(responseTo(older!), HERE, 4))).toEqual(['validated', 'transmit']);
    expect(ice.selected).toEqual(THERE);
  });
});

describe('addresses', () => {
  it('are eight at most: who has proven nothing goes first, then the oldest, but never the selected one', () => {
    nominate(at(1), 0);
    for (let port = 2; port <= 8; port++) meet(at(port), port);
    expect([1, 2, 3, 4, 5, 6, 7, 8].every((port) => ice.isValidated(at(port)))).toBe(true);
    meet(at(9), 9);
    expect([1, 2, 3, 9].map((port) => ice.isValidated(at(port)))).toEqual([true, false, true, true]);
    for (let port = 10; port < 1_000; port++) hear(check(), at(port), port);
    const valid = () =>
      Array.from({ length: 1_000 }, (_, port) => port).filter((port) => ice.isValidated(at(port)));
    expect(valid()).toEqual([1, 4, 5, 6, 7, 8, 9]);
    for (let port = 10; port < 1_000; port++) meet(at(port), port);
    expect(valid().length).toBe(8);
    expect(valid()[0]).toBe(1);
    expect(ice.selected).toEqual(at(1));
  });

  it('of an earlier process is selected and validated from the start, and answered at once', () => {
    ice = new IceLite(LOCAL, rng, REMOTE.ufrag, HERE);
    expect(ice.selected).toEqual(HERE);
    expect(ice.isValidated(HERE)).toBe(true);
    expect(ice.isValidated(THERE)).toBe(false);
    expect(ice.heardAt).toBeUndefined();
    expect(answers(hear(check({ nominate: true }), HERE, 7)).length).toBe(1);
    expect(ice.heardAt).toBe(7);
  });

  it('beside it prove themselves when the next answer is here', () => {
    ice = new IceLite(LOCAL, rng, REMOTE.ufrag, HERE);
    expect(hear(check({ nominate: true }), THERE)).toEqual([]);
    expect(ice.selected).toEqual(HERE);
    ice.restart(AFTER);
    ice.setRemote(RENEWED, 2);
    meet(THERE, 3, { from: AFTER, remote: RENEWED.ufrag, nominate: true }, RENEWED);
    expect(ice.selected).toEqual(THERE);
  });
});

describe('a check that was recorded', () => {
  it('takes the media nowhere else, validates no address and keeps no consent', () => {
    const recorded = check({ nominate: true });
    hear(responseTo(hear(recorded)));
    expect(hear(recorded, THERE, 2)).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ replayed: 1 });
    expect(ice.selected).toEqual(HERE);
    expect(ice.isValidated(THERE)).toBe(false);
    expect(ice.heardAt).toBe(1);
    nominate(THERE, 3);
    expect(ice.selected).toEqual(THERE);
  });

  it('is answered where it came from, as a retransmission is, and changes nothing there either', () => {
    const recorded = check({ nominate: true });
    const answer = answers(hear(responseTo(hear(recorded))));
    nominate(THERE, 2);
    expect(hear(recorded, HERE, 3)).toEqual(answer);
    expect(ice.selected).toEqual(THERE);
    expect(ice.heardAt).toBe(2);
  });

  it('is known after a thousand others and an ICE restart', () => {
    const recorded = check({ nominate: true });
    hear(responseTo(hear(recorded)));
    for (let i = 1; i < 1_024; i++) hear(check(), HERE, i);
    ice.restart(AFTER);
    expect(hear(recorded, THERE, 2_000)).toEqual([]);
    expect(ice.drops.get('replayed')).toBe(1);
    expect(ice.selected).toEqual(HERE);
  });
});

describe('consent', () => {
  it('is that of the address that media goes to: proofs of others do not renew it', () => {
    nominate(HERE, 1);
    meet(THERE, 2);
    expect(ice.heardAt).toBe(1);
    nominate(THERE, 4);
    expect(ice.heardAt).toBe(2);
  });

  it('is renewed with a check every five seconds, by a probe that is answered', () => {
    nominate(HERE, 1_000);
    expect(probes(hear(check(), HERE, 5_999))).toEqual([]);
    const outputs = hear(check(), HERE, 6_000);
    expect(kinds(outputs)).toEqual(['transmit', 'probing', 'transmit']);
    expect(ice.heardAt).toBe(1_000);
    expect(hear(responseTo(outputs), HERE, 6_100)).toEqual([{ kind: 'validated', address: HERE }]);
    expect(ice.heardAt).toBe(6_100);
  });

  it('is not renewed by checks alone; half a minute on, they get a probe and no answer', () => {
    nominate(HERE, 1_000);
    for (let now = 2_000; now < 31_000; now += 1_000) {
      expect(answers(hear(check(), HERE, now)).length).toBe(1);
    }
    expect(ice.heardAt).toBe(1_000);
    for (let now = 31_000; now < 60_000; now += 1_000) expect(answers(hear(check(), HERE, now))).toEqual([]);
    const outputs = Array.from({ length: 20 }, () => hear(check(), HERE, 60_000)).flat();
    expect(answers(hear(responseTo(outputs), HERE, 60_000)).length).toBe(1);
    expect(ice.heardAt).toBe(60_000);
  });
});

describe('an ICE restart', () => {
  const renewed = { from: AFTER, remote: RENEWED.ufrag };
  beforeEach(() => {
    nominate();
    ice.restart(AFTER);
  });

  it('keeps the address in use and answers under both credentials', () => {
    expect(ice.ufrags).toEqual([AFTER.ufrag, LOCAL.ufrag]);
    expect(ice.credentials).toBe(AFTER);
    expect(ice.selected).toEqual(HERE);
    expect(answers(hear(check(), HERE, 2)).length).toBe(1);
    ice.setRemote(RENEWED, 3);
    const asked = check(renewed);
    const [answer] = answers(hear(responseTo(hear(asked, THERE, 3), RENEWED), THERE, 3));
    expect(answer!.datagram).toEqual(bindingSuccess(parseStun(asked)!, THERE, AFTER.pwd));
    expect(ice.selected).toEqual(HERE);
  });

  it('keeps the old credentials until an address is nominated under the new ones', () => {
    ice.setRemote(RENEWED, 2);
    meet(THERE, 2, renewed, RENEWED);
    nominate(HERE, 3);
    expect(ice.ufrags).toEqual([AFTER.ufrag, LOCAL.ufrag]);
    hear(check({ ...renewed, nominate: true }), THERE, 4);
    expect(ice.ufrags).toEqual([AFTER.ufrag]);
    expect(ice.selected).toEqual(THERE);
    expect(hear(check({ nominate: true }), HERE, 5)).toEqual([]);
    expect(ice.selected).toEqual(THERE);
  });

  it('mixes no credentials: the ufrag of one with the password of the other is nobody', () => {
    expect(hear(check({ from: { ...AFTER, pwd: LOCAL.pwd } }), THERE, 2)).toEqual([]);
    expect(hear(check({ from: { ...LOCAL, pwd: AFTER.pwd } }), THERE, 2)).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ 'bad integrity': 2 });
    ice.setRemote(RENEWED, 2);
    const outputs = hear(check(renewed), THERE, 2);
    expect(hear(responseTo(outputs, REMOTE), THERE, 2)).toEqual([]);
    expect(ice.isValidated(THERE)).toBe(false);
  });

  it('asks for the old remote half under the old credentials only', () => {
    ice.setRemote(RENEWED, 2);
    expect(hear(check({ remote: RENEWED.ufrag }), HERE, 2)).toEqual([]);
    expect(hear(check({ from: AFTER }), THERE, 2)).toEqual([]);
    expect(ice.drops.toJSON()).toEqual({ 'unknown username': 2 });
    expect(hear(check(), HERE, 2)).not.toEqual([]);
    expect(hear(check(renewed), THERE, 2)).not.toEqual([]);
  });

  it('over another one that nobody has answered keeps the credentials in use', () => {
    ice.restart({ ufrag: 'thrd', pwd: 'third-password-of-22-c' });
    expect(answers(hear(check(), HERE, 2)).length).toBe(1);
    expect(answers(hear(check({ from: AFTER }), HERE, 3)).length).toBe(1);
  });

  it('repeated for ever keeps those in use, the newest and the one before, and one after a nomination', () => {
    const named = (i: number): IceCredentials => ({ ufrag: `gen${i}`, pwd: LOCAL.pwd });
    for (let i = 0; i < 20; i++) ice.restart(named(i));
    expect(ice.ufrags).toEqual(['gen19', 'gen18', LOCAL.ufrag]);
    hear(check({ from: named(19), nominate: true }), HERE, 2);
    expect(ice.ufrags).toEqual(['gen19']);
  });
});

describe('addresseeOf', () => {
  it('gives the local half of what may be a check, and the transaction of what may be a response', () => {
    expect(addresseeOf(check())).toEqual({ ufrag: LOCAL.ufrag });
    expect(addresseeOf(stunRequest([{ type: 0x0024, value: new Uint8Array(4) }]))).toBeUndefined();
    expect(addresseeOf(fromHex('0001'))).toBeUndefined();
    const request = parseStun(check())!;
    expect(addresseeOf(bindingSuccess(request, HERE, LOCAL.pwd))).toEqual({
      transaction: toHex(request.transactionId),
    });
  });
});
