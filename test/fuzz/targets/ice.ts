import type { Address } from '../../../src/transport/address.ts';
import { addresseeOf, IceLite } from '../../../src/transport/ice/ice-lite.ts';
import { bindingSuccess, parseStun, STUN_TYPE } from '../../../src/transport/ice/stun.ts';
import { ByteReader, toHex, utf8 } from '../../../src/util/bytes.ts';
import type { Millis } from '../../../src/util/clock.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { bindingRequest, stunRequest } from '../../support/stun.ts';
import type { FuzzTarget } from '../fuzz.ts';
import { mutateBytes, overwritten } from '../mutate.ts';
import { decodeScript, encodeScript, mutateScript, type Step } from '../script.ts';

const LOCAL = { ufrag: 'Lufr', pwd: 'abcdefghijklmnopqrstuvwx' };
const REMOTE = { ufrag: 'Rufr', pwd: 'ABCDEFGHIJKLMNOPQRSTUVWX' };
/** Nine, which is one more than a peer is heard from at a time. */
const ADDRESSES: readonly Address[] = Array.from({ length: 9 }, (_, i) => ({
  ip: `192.0.2.${i}`,
  port: 4_000 + i,
}));
const SERVER: Address = { ip: '198.51.100.1', port: 8_080 };
/** RFC 8489 §6.1, for IPv4. */
const MAX_DATAGRAM = 548;

/** Each with the place it comes from, and what is patched at an offset, if anything. */
const OP = { check: 0, patched: 1, response: 2, forged: 3, raw: 4, time: 5, answer: 6, restart: 7 } as const;
const OPS = 8;
const step = (op: number, ...data: readonly number[]): Step => ({ op, data: Uint8Array.from(data) });

export const ice: FuzzTarget = {
  id: 'fuzz-ice',
  claim:
    'an address that has not answered is sent no more bytes than came from it, and is never validated or selected',
  inputs: 5_000,
  reaches: ['selected', 'validated', 'nothing', 'asked'],
  seeds: () =>
    [
      [step(OP.answer), step(OP.check, 0, 1, 1), step(OP.response, 0), step(OP.check, 0, 2, 1)],
      [step(OP.check, 0, 1, 1), step(OP.answer), step(OP.response, 0)],
      [step(OP.answer), ...ADDRESSES.flatMap((_, i) => [step(OP.check, i, i, 0), step(OP.response, i)])],
      [
        step(OP.answer),
        step(OP.check, 0, 1, 0),
        step(OP.response, 1),
        step(OP.forged, 0),
        step(OP.raw, 0, 1, 1, 0, 0),
      ],
      [
        step(OP.answer),
        step(OP.check, 0, 1, 0),
        step(OP.check, 1, 1, 1),
        step(OP.response, 1),
        step(OP.time, 100, 0),
      ],
      [
        step(OP.answer),
        step(OP.check, 0, 1, 1),
        step(OP.response, 0),
        step(OP.restart),
        step(OP.check, 0, 2, 1),
      ],
      [step(OP.answer), step(OP.check, 2, 1, 2), step(OP.check, 2, 2, 2), step(OP.response, 2)],
      [step(OP.answer), step(OP.patched, 0, 3, 0, 30, 1), step(OP.patched, 0, 3, 0, 3, 1)],
    ].map(encodeScript),
  mutate: (input, random) => mutateScript(input, random, OPS, (data) => mutateBytes(data, random, data)),
  run: (input) => {
    const watched = new WatchedIce();
    for (const one of decodeScript(input)) watched.take(one);
    return watched.outcome;
  },
};

class WatchedIce {
  readonly #ice = new IceLite(LOCAL, seededRandom(4));
  /** Requests of ours that an address has been sent, and the credit it has with us, in bytes. */
  readonly #probes = new Map<string, Uint8Array>();
  readonly #credit = new Map<string, number>();
  readonly #answered = new Set<string>();
  readonly #transactions = new Set<string>();
  #now: Millis = 0;
  #sent = 0;

  take({ op, data }: Step): void {
    const reader = new ByteReader(data);
    const from = ADDRESSES[reader.u8() % ADDRESSES.length]!;
    switch (op % OPS) {
      case OP.check:
        this.#deliver(check(reader.u8(), reader.u8()), from);
        break;
      case OP.patched: {
        const request = check(reader.u8(), 1);
        this.#deliver(overwritten(request, reader.u16() % request.length, reader.rest()), from);
        break;
      }
      case OP.response: {
        const probe = this.#probes.get(from.ip);
        if (probe === undefined) break;
        // What was sent again is answered again: once is enough.
        this.#answered.add(from.ip);
        this.#deliver(responseTo(probe, REMOTE.pwd), from);
        break;
      }
      case OP.forged: {
        const probe = this.#probes.get(from.ip) ?? check(0, 0);
        this.#deliver(responseTo(probe, LOCAL.pwd), from);
        break;
      }
      case OP.time:
        this.#now += reader.u16();
        break;
      case OP.answer:
        this.#ice.setRemote(REMOTE, this.#now);
        break;
      case OP.restart:
        this.#ice.restart({ ufrag: `L${reader.u8() % 10}uf`, pwd: LOCAL.pwd });
        break;
      default:
        this.#deliver(reader.rest(), from);
    }
    this.#drain();
  }

  get outcome(): string {
    if (this.#ice.selected !== undefined) return 'selected';
    if (ADDRESSES.some((address) => this.#ice.isValidated(address))) return 'validated';
    return this.#sent > 0 ? 'asked' : 'nothing';
  }

  #deliver(datagram: Uint8Array, from: Address): void {
    addresseeOf(datagram);
    // As a socket hands it over, whose memory is soon used for something else.
    const received = datagram.slice();
    this.#credit.set(from.ip, (this.#credit.get(from.ip) ?? 0) + received.length);
    this.#transactions.add(transactionOf(received));
    this.#ice.handleDatagram(received, from, this.#now);
    received.fill(0xee);
    this.#drain();
  }

  #drain(): void {
    for (let output = this.#ice.pollOutput(); output !== undefined; output = this.#ice.pollOutput()) {
      if (output.kind === 'transmit') this.#send(output.to, output.datagram);
    }
    for (const { ip, port } of ADDRESSES) {
      const trusted = this.#ice.isValidated({ ip, port }) || this.#ice.selected?.ip === ip;
      if (trusted && !this.#answered.has(ip)) throw new Error(`${ip} is trusted and has never answered`);
    }
  }

  #send(to: Address, datagram: Uint8Array): void {
    this.#sent++;
    const message = parseStun(datagram);
    if (message === undefined || datagram.length > MAX_DATAGRAM)
      throw new Error('what is sent is no short STUN message');
    if (message.type === STUN_TYPE.bindingRequest) this.#probes.set(to.ip, datagram);
    else if (!this.#transactions.has(transactionOf(datagram)))
      throw new Error('an answer to nothing that was asked');
    const left = (this.#credit.get(to.ip) ?? 0) - datagram.length;
    if (left < 0 && !this.#answered.has(to.ip)) throw new Error(`${to.ip} is sent more than came from it`);
    this.#credit.set(to.ip, left);
  }
}

/** With `form` odd it nominates; with the next bit it is as short as one can be that is authentic. */
function check(transaction: number, form: number): Uint8Array {
  const transactionId = overwritten(new Uint8Array(12), 0, Uint8Array.of(transaction));
  const username = `${LOCAL.ufrag}:${REMOTE.ufrag}`;
  if ((form & 2) !== 0)
    return stunRequest([{ type: 0x0006, value: utf8(username) }], LOCAL.pwd, transactionId);
  return bindingRequest({
    transactionId,
    username,
    password: LOCAL.pwd,
    priority: 1,
    tieBreaker: new Uint8Array(8),
    useCandidate: form % 2 === 1,
  });
}

const transactionOf = (message: Uint8Array): string => toHex(message.subarray(8, 20));

/** A binding success of this request's transaction. */
const responseTo = (request: Uint8Array, password: string): Uint8Array =>
  bindingSuccess(parseStun(request)!, SERVER, password);
