import type { Address } from '../../src/transport/address.ts';
import type { IceCredentials } from '../../src/transport/ice/ice-lite.ts';
import type { Peer, PeerIdentity, PeerOutput, RemoteParameters } from '../../src/transport/peer.ts';
import type { Millis } from '../../src/util/clock.ts';

/** A peer that notes what its session asks of it and says what a test tells it to. */
export class FakePeer {
  readonly offers: { readonly epoch: number; readonly early: boolean; readonly at: Millis }[] = [];
  readonly answers: RemoteParameters[] = [];
  iceCredentials: IceCredentials;
  heardAt: Millis | undefined;
  keyEpoch: number | undefined;
  lacksStreams = false;
  resumed = 0;
  staleUntil: Millis | undefined;
  closed = false;
  deadline: Millis | undefined;
  identity: PeerIdentity | undefined;
  #outputs: PeerOutput[] = [];

  constructor(ice: IceCredentials, restored?: PeerIdentity) {
    this.iceCredentials = ice;
    this.identity = restored;
  }

  /** As a session takes it. */
  get asPeer(): Peer {
    return this as unknown as Peer;
  }

  resume(contexts: { readonly epoch: number }, _floors: unknown, deadline: Millis): void {
    this.keyEpoch = contexts.epoch;
    this.staleUntil = deadline;
    this.resumed++;
  }

  offer(epoch: number, ice: IceCredentials, early: boolean, now: Millis): void {
    this.offers.push({ epoch, early, at: now });
    this.iceCredentials = ice;
    this.closed = false;
  }

  acceptAnswer(answer: RemoteParameters): void {
    this.answers.push(answer);
    this.identity = {
      remoteUfrag: answer.ice.ufrag,
      remoteFingerprint: answer.fingerprints[0]!,
      remoteAddress: undefined,
    };
  }

  captureIdentity(): PeerIdentity | undefined {
    return this.identity;
  }

  handleDatagram(_datagram: Uint8Array, _from: Address, now: Millis): void {
    this.heardAt = now;
  }

  handleTimeout(now: Millis): void {
    if (this.deadline !== undefined && now >= this.deadline) this.deadline = undefined;
  }

  nextTimeout(): Millis | undefined {
    return this.deadline;
  }

  pollOutput(): PeerOutput | undefined {
    return this.#outputs.shift();
  }

  close(): void {
    this.closed = true;
    this.keyEpoch = undefined;
  }

  /** The next outputs. */
  say(...outputs: readonly PeerOutput[]): void {
    for (const output of outputs) {
      if (output.kind === 'keyed') this.keyEpoch = output.epoch;
      if (output.kind === 'stale-keys-destroyed') this.keyEpoch = undefined;
      this.#outputs.push(output);
    }
  }
}
