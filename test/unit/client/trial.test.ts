import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Ability } from '../../../src/client/capabilities.ts';
import { type TrialPeer, tryRekeyInPlace } from '../../../src/client/trial.ts';

/** What a browser of this kind does with a connection that exists and gets another fingerprint. */
type Kind = 'hands over' | 'stays silent' | 'never connects' | 'refuses the offer' | 'gathers nothing';

/** Connections of one browser; offer and answer name who has made them. */
class FakePeers {
  readonly made: FakePeer[] = [];
  readonly kind: Kind;

  constructor(kind: Kind) {
    this.kind = kind;
  }

  create(): TrialPeer {
    const peer = new FakePeer(this, this.made.length);
    this.made.push(peer);
    return peer as unknown as TrialPeer;
  }
}

class FakePeer extends EventTarget {
  connectionState = 'new';
  iceGatheringState = 'new';
  localDescription: { sdp: string } | undefined;
  readonly offers: string[] = [];
  closed = false;
  readonly #all: FakePeers;
  readonly #number: number;

  constructor(all: FakePeers, number: number) {
    super();
    this.#all = all;
    this.#number = number;
  }

  createDataChannel(): void {}

  async setLocalDescription(): Promise<void> {
    const setup = this.offers.length === 0 ? 'actpass' : 'passive';
    const sdp = `v=0\r\no=- 77${this.#number} 2 IN IP4 127.0.0.1\r\na=setup:${setup}\r\na=from:${this.#number}\r\n`;
    this.localDescription = { sdp };
    if (this.#all.kind === 'gathers nothing') return;
    this.iceGatheringState = 'complete';
    queueMicrotask(() => this.dispatchEvent(new Event('icegatheringstatechange')));
  }

  async setRemoteDescription({ type, sdp }: { type: string; sdp: string }): Promise<void> {
    if (type === 'offer') {
      this.offers.push(sdp);
      if (this.#all.kind === 'refuses the offer' && this.offers.length > 1)
        throw new DOMException('', 'InvalidAccessError');
      return;
    }
    const { kind, made } = this.#all;
    const again = made.some(({ offers }) => offers.length > 1);
    if (kind === 'never connects' || kind === 'gathers nothing' || (again && kind === 'stays silent')) return;
    setTimeout(() => {
      this.connectionState = 'connected';
      this.dispatchEvent(new Event('connectionstatechange'));
    }, 20);
  }

  close(): void {
    this.closed = true;
  }
}

describe('the trial of a browser', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const verdictOf = async (peers: FakePeers): Promise<boolean> => {
    const verdict = tryRekeyInPlace(() => peers.create());
    await vi.runAllTimersAsync();
    return verdict;
  };

  it.each([
    ['hands over', true],
    ['stays silent', false],
    ['never connects', false],
    ['refuses the offer', false],
    ['gathers nothing', false],
  ] as const)('that %s says %s, and everything is closed', async (kind, expected) => {
    const peers = new FakePeers(kind);
    expect(await verdictOf(peers)).toBe(expected);
    expect(peers.made.map(({ closed }) => closed)).toEqual([true, true, true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('offers as the server does: it is the DTLS client, and the second offer is a newer one of the same session, by somebody else', async () => {
    const peers = new FakePeers('hands over');
    await verdictOf(peers);
    const [first, second] = peers.made[1]!.offers;
    expect(first).toContain('o=- 770 2 IN IP4 127.0.0.1\r\na=setup:active\r\na=from:0\r\n');
    expect(second).toContain('o=- 770 3 IN IP4 127.0.0.1\r\na=setup:active\r\na=from:2\r\n');
  });

  it('without RTCPeerConnections says no', async () => {
    expect(
      await tryRekeyInPlace(() => {
        throw new DOMException('', 'NotAllowedError');
      }),
    ).toBe(false);
  });
});

describe('what the browser can', () => {
  it('is not tried where the hint says yes', () => {
    expect(new Ability({ rekeyInPlace: true }).takeTrial()).toBe(false);
  });

  it('is tried once where the hint says no, and told where that was wrong', () => {
    const ability = new Ability({ rekeyInPlace: false });
    expect([ability.takeTrial(), ability.takeTrial(), ability.news]).toEqual([true, false, undefined]);
    expect(ability.handleTried(true)).toEqual({ rekeyInPlace: true });
    expect([ability.capabilities, ability.news]).toEqual([{ rekeyInPlace: true }, { rekeyInPlace: true }]);
    expect(ability.handleTried(true)).toBeUndefined();
  });

  it('stays as it was told where the trial says no', () => {
    const ability = new Ability({ rekeyInPlace: false });
    ability.takeTrial();
    expect([ability.handleTried(false), ability.news]).toEqual([undefined, undefined]);
    expect(ability.capabilities).toEqual({ rekeyInPlace: false });
  });

  it('is taken back by a re-key that fails: to the server only where it had believed the trial', () => {
    const hinted = new Ability({ rekeyInPlace: true });
    expect([hinted.handleFailure(), hinted.capabilities, hinted.news]).toEqual([
      undefined,
      { rekeyInPlace: false },
      undefined,
    ]);
    const tried = new Ability({ rekeyInPlace: false });
    expect(tried.handleFailure()).toBeUndefined();
    tried.handleTried(true);
    expect([tried.handleFailure(), tried.news]).toEqual([{ rekeyInPlace: false }, { rekeyInPlace: false }]);
    expect(tried.handleFailure()).toBeUndefined();
  });
});
