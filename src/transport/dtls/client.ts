import { equalConstantTime } from '../../util/bytes.ts';
import { earliest, type Millis } from '../../util/clock.ts';
import { Counters } from '../../util/counters.ts';
import type { RandomSource } from '../../util/rng.ts';
import type { Secret } from '../../util/secret.ts';
import { ReplayWindow } from '../replay-window.ts';
import { type DtlsSrtpKeys, disposeMasterKey, type SrtpProfile } from '../srtp/profile.ts';
import { alertFor, type DtlsFailure, decodeAlert } from './alert.ts';
import { type DtlsIdentity, makeClientFlight } from './client-flight.ts';
import { ClientHelloSource } from './client-hello.ts';
import type { Fingerprint } from './fingerprint.ts';
import { type FlightMessage, packFlight, RecordWriter, RetransmitTimer } from './flight.ts';
import { decodeFragments, HANDSHAKE_TYPE, type HandshakeFragment } from './handshake.ts';
import { type FragmentVerdict, Reassembly } from './reassembly.ts';
import { CONTENT_TYPE, type DtlsRecord, decodeRecords } from './record.ts';
import type { RecordProtection } from './record-protection.ts';
import { type ServerExpectations, type ServerStep, takeServerMessage } from './server-flight.ts';
import { Transcript } from './transcript.ts';

export type { DtlsFailure } from './alert.ts';
export type { DtlsIdentity } from './client-flight.ts';

export interface DtlsClientOptions {
  readonly identity: DtlsIdentity;
  readonly rng: RandomSource;
  /** The peer's certificate matches any of these, or the handshake fails. */
  readonly remoteFingerprints: readonly Fingerprint[];
  /** Offered in this order. */
  readonly srtpProfiles: readonly SrtpProfile[];
  /** Repeats the identical ClientHello datagram at this interval until {@link DtlsClient.peerIsReady}, for three seconds at most, before the backoff. */
  readonly helloInterval?: Millis;
  /** The whole handshake gives up after this time; 30 s by default. */
  readonly timeout?: Millis;
}

export type DtlsOutput =
  | { readonly kind: 'transmit'; readonly datagram: Uint8Array }
  /** One round trip in: the peer is authenticated and our Finished is ahead of this output. The receiver owns the secrets. */
  | { readonly kind: 'keys'; readonly keys: DtlsSrtpKeys }
  /** The peer's Finished is verified. Nothing secret is left in here. */
  | { readonly kind: 'connected' }
  /** Fatal to this association only. Nothing secret is left in here. */
  | { readonly kind: 'failed'; readonly reason: DtlsFailure };

export type DtlsDropReason =
  | Exclude<FragmentVerdict, 'kept'>
  | 'malformed-record'
  | 'malformed-message'
  | 'unexpected-message'
  | 'unexpected-record'
  | 'plaintext-alert'
  | 'warning-alert'
  | 'application-data'
  | 'wrong-epoch'
  | 'replayed'
  | 'unauthenticated'
  | 'too-many-cookies'
  /** A message that the peer would not have sent: with it goes the flight it came in. */
  | 'refused-flight'
  /** After the end: nothing is held to judge it with. */
  | 'over';

/** Records of an epoch that may come late and out of order (RFC 6347 §4.1.2.6: 64 is preferred). */
const REPLAY_WINDOW_RECORDS = 64;
const DEFAULT_TIMEOUT_MS: Millis = 30_000;
/**
 * How long a flight that is right may come after one that is not. Nothing of it is authenticated before its signature: who can put the peer's
 * address on a datagram would end the handshake with one. It takes the peer some 50, 150 and 350 ms to repeat its own.
 */
const DOUBT_MS: Millis = 1_000;

/** The server's flight, then its Finished, then nothing. */
type Step =
  | ServerStep
  | {
      readonly at: 'finished';
      readonly protection: RecordProtection;
      readonly window: ReplayWindow;
      readonly expected: Secret;
      /** ChangeCipherSpec has been seen: nothing of epoch 0 is heeded any more. */
      readonly changed: boolean;
    }
  | { readonly at: 'over' };

/**
 * A DTLS 1.2 handshake as the client (RFC 6347), for the keys of SRTP (RFC 5764) and nothing else: no application data, no
 * resumption, no renegotiation.
 *
 *    1. ClientHello ───────────────────────────▶
 *    2. ◀─────────────── (HelloVerifyRequest, then 1 again with the cookie)
 *    3. ◀─────────────────────────── ServerHello   version, suite, extended master secret, SRTP profile
 *    4. ◀─────────────────────────── Certificate   fingerprint
 *    5. ◀───────────────────── ServerKeyExchange   signature
 *    6. ◀──────────────────── CertificateRequest
 *    7. ◀─────────────────────── ServerHelloDone
 *    8. Certificate, ClientKeyExchange,
 *       CertificateVerify, [ChangeCipherSpec],
 *       Finished ──────────────────────────────▶   `keys`
 *    9. ◀──────────── [ChangeCipherSpec], Finished `connected`
 *
 * Sans-IO: after the constructor and after each `handleDatagram`/`handleTimeout`, drain `pollOutput()` until `undefined`, then
 * wait until `nextTimeout()`. Nothing here throws on what arrives.
 *
 * The master secret lives within step 8 only: what is kept for step 9 are record keys and the Finished that is expected.
 */
export class DtlsClient {
  readonly #options: DtlsClientOptions;
  readonly #expected: ServerExpectations;
  readonly #deadline: Millis;
  readonly #drops = new Counters<DtlsDropReason>();
  readonly #outputs: DtlsOutput[] = [];
  readonly #hello: ClientHelloSource;
  #transcript = new Transcript();
  readonly #writer = new RecordWriter();
  readonly #timer = new RetransmitTimer();
  #step: Step = { at: 'server-hello' };
  #reassembly = new Reassembly(0);
  /** What is retransmitted, and how the newest ClientHello went out. */
  #flight: readonly FlightMessage[] = [];
  #helloDatagrams: readonly Uint8Array[] = [];
  /** What was wrong with the first flight that was refused, and when that is the last word. */
  #doubt: { readonly reason: DtlsFailure; readonly until: Millis } | undefined;

  constructor(options: DtlsClientOptions, now: Millis) {
    const { remoteFingerprints, srtpProfiles } = options;
    this.#options = options;
    this.#deadline = now + (options.timeout ?? DEFAULT_TIMEOUT_MS);
    this.#hello = new ClientHelloSource(options.rng, srtpProfiles);
    const clientRandom = this.#hello.random;
    this.#expected = { clientRandom, remoteFingerprints, srtpProfiles };
    this.#sendHello(now);
  }

  get drops(): Counters<DtlsDropReason> {
    return this.#drops;
  }

  handleDatagram(datagram: Uint8Array, now: Millis): void {
    // Not as a Buffer, whose slice() copies nothing: what is kept must not change when the socket reuses its memory.
    const bytes = new Uint8Array(datagram.buffer, datagram.byteOffset, datagram.length);
    // Behind a flight that was refused comes more of it.
    const reassembly = this.#reassembly;
    for (const record of decodeRecords(bytes)) {
      this.#count(record === undefined ? 'malformed-record' : this.#handleRecord(record, now));
      if (this.#reassembly !== reassembly) break;
    }
  }

  /** The server takes a ClientHello now, whatever it did with those before: one that is lost from here on is all that repeating it is for. */
  peerIsReady(now: Millis): void {
    if (this.#step.at === 'server-hello') this.#timer.slowDown(now);
  }

  /** What is sent goes to another address from now on: the ClientHellos that went to the one before may be lost, and the next may be far off. */
  pathChanged(now: Millis): void {
    // As the identical datagram it costs a server nothing that has it already.
    if (this.#step.at !== 'server-hello' || this.#options.helloInterval === undefined) return;
    this.#retransmit();
    this.#timer.again(now, true);
  }

  handleTimeout(now: Millis): void {
    if (this.#step.at === 'over') return;
    if (now >= this.#deadline) {
      this.#fail(this.#doubt?.reason ?? 'timeout');
      return;
    }
    if (this.#doubt !== undefined && now >= this.#doubt.until) {
      this.#fail(this.#doubt.reason);
      return;
    }
    const due = this.#timer.deadline;
    if (due === undefined || now < due) return;
    this.#retransmit();
    this.#timer.again(now);
  }

  nextTimeout(): Millis | undefined {
    return this.#step.at === 'over'
      ? undefined
      : earliest(this.#deadline, this.#timer.deadline, this.#doubt?.until);
  }

  pollOutput(): DtlsOutput | undefined {
    return this.#outputs.shift();
  }

  /** Wipes everything, keys that were not polled included. Says nothing to the peer. */
  dispose(): void {
    this.#end();
    this.#discardOutputs();
  }

  #handleRecord(record: DtlsRecord, now: Millis): DtlsDropReason | undefined {
    const step = this.#step;
    if (step.at === 'over') return 'over';
    if (record.epoch === 0) return this.#handlePlain(record, now);
    // Epoch 1 begins with the server's Finished, which answers ours.
    if (record.epoch === 1 && step.at === 'finished') return this.#handleProtected(record, step);
    return 'wrong-epoch';
  }

  /** Epoch 0: anybody can have sent this. */
  #handlePlain(record: DtlsRecord, now: Millis): DtlsDropReason | undefined {
    const step = this.#step;
    if (step.at === 'finished' && step.changed) return 'wrong-epoch';
    switch (record.type) {
      case CONTENT_TYPE.handshake:
        return this.#handleFragments(record, now);
      case CONTENT_TYPE.changeCipherSpec:
        // Before our own flight is out there is nothing to change to: an early one is forged.
        if (step.at !== 'finished') return 'unexpected-record';
        this.#step = { ...step, changed: true };
        return undefined;
      case CONTENT_TYPE.alert:
        // Not authenticated: acting on it would let anybody end the handshake.
        return 'plaintext-alert';
      default:
        return 'unexpected-record';
    }
  }

  #handleFragments(record: DtlsRecord, now: Millis): undefined {
    const reassembly = this.#reassembly;
    for (const fragment of decodeFragments(record.fragment)) {
      this.#count(fragment === undefined ? 'malformed-message' : this.#handleFragment(fragment, now));
      if (this.#reassembly !== reassembly) break;
    }
  }

  #handleFragment(fragment: HandshakeFragment, now: Millis): DtlsDropReason | undefined {
    if (this.#step.at === 'over') return 'over';
    if (fragment.type === HANDSHAKE_TYPE.helloVerifyRequest) return this.#handleCookie(fragment, now);
    if (this.#step.at === 'finished') return this.#handleLateFragment(fragment, now);
    const verdict = this.#reassembly.add(fragment);
    if (verdict !== 'kept') return verdict;
    return this.#takeServerFlight(now);
  }

  /** Step 2. */
  #handleCookie(fragment: HandshakeFragment, now: Millis): DtlsDropReason | undefined {
    if (this.#step.at !== 'server-hello') return 'unexpected-message';
    const refused = this.#hello.takeCookie(fragment);
    if (refused !== undefined) return refused;
    this.#reassembly = new Reassembly(this.#hello.answerSeq);
    this.#sendHello(now);
    return undefined;
  }

  /** Steps 3 to 7, as far as the messages are here. */
  #takeServerFlight(now: Millis): DtlsDropReason | undefined {
    for (;;) {
      const step = this.#step;
      const message = this.#reassembly.peek();
      if (message === undefined || step.at === 'finished' || step.at === 'over') return undefined;
      const verdict = takeServerMessage(step, message, this.#expected);
      if (verdict.kind === 'ignored') {
        this.#reassembly.reject();
        return verdict.reason;
      }
      if (verdict.kind === 'failed') {
        this.#refuseFlight(verdict.reason, now);
        return 'refused-flight';
      }
      this.#reassembly.accept();
      if (step.at === 'server-hello') this.#beginTranscript(now);
      this.#transcript.add(message);
      this.#step = verdict.step;
      if (verdict.step.at === 'complete') this.#answerServerFlight(verdict.step, now);
    }
  }

  #beginTranscript(now: Millis): void {
    // RFC 6347 §4.2.1: a ClientHello that was asked for a cookie, and the HelloVerifyRequest, are no part of it.
    this.#transcript.add(this.#hello.message());
    // The server is there: from now on what is lost is repeated as new records, at a slower pace.
    if (this.#options.helloInterval !== undefined && this.#doubt === undefined) this.#timer.start(now);
  }

  /** The peer's own may still come: a right one proves that this was not it. */
  #refuseFlight(reason: DtlsFailure, now: Millis): void {
    this.#doubt ??= { reason, until: now + DOUBT_MS };
    this.#step = { at: 'server-hello' };
    this.#reassembly = new Reassembly(this.#hello.answerSeq);
    this.#transcript = new Transcript();
  }

  /** Step 8. The peer holds the key of the certificate that was signalled: nobody else shares what comes out of this. */
  #answerServerFlight(server: ServerStep & { at: 'complete' }, now: Millis): void {
    const { identity, rng } = this.#options;
    const transcript = this.#transcript;
    const firstSeq = this.#hello.answerSeq + 1;
    const flight = { ...server, clientRandom: this.#hello.random, transcript, firstSeq };
    const answer = makeClientFlight(flight, identity, rng);
    if (answer === undefined) {
      this.#fail('bad-key-share');
      return;
    }
    this.#doubt = undefined;
    this.#writer.protect(answer.send);
    // What came ahead in the clear never becomes part of the protected Finished.
    this.#reassembly = new Reassembly(this.#reassembly.next);
    const [protection, expected] = [answer.receive, answer.expectedFinished];
    this.#step = {
      at: 'finished',
      protection,
      window: new ReplayWindow(REPLAY_WINDOW_RECORDS),
      expected,
      changed: false,
    };
    this.#flight = answer.flight;
    this.#transmit(packFlight(this.#flight, this.#writer));
    this.#timer.start(now);
    this.#outputs.push({ kind: 'keys', keys: answer.keys });
  }

  /** RFC 6347 §4.2.4: a peer that repeats its flight has not seen ours. Its last message stands for the flight. */
  #handleLateFragment(fragment: HandshakeFragment, now: Millis): DtlsDropReason {
    if (fragment.seq >= this.#reassembly.next) return 'unexpected-message';
    if (fragment.type === HANDSHAKE_TYPE.serverHelloDone && this.#timer.mayAnswer(now)) {
      this.#retransmit();
      this.#timer.again(now, true);
    }
    return 'retransmission';
  }

  /** Epoch 1: authenticated before anything else. */
  #handleProtected(sealed: DtlsRecord, step: Step & { at: 'finished' }): DtlsDropReason | undefined {
    if (!step.window.check(sealed.sequence)) return 'replayed';
    const record = step.protection.open(sealed);
    if (record === undefined) return 'unauthenticated';
    step.window.update(sealed.sequence);
    switch (record.type) {
      case CONTENT_TYPE.handshake:
        return this.#handleFinished(record, step.expected);
      case CONTENT_TYPE.alert:
        if (decodeAlert(record.fragment) !== 'end') return 'warning-alert';
        this.#fail('closed-by-peer');
        return undefined;
      case CONTENT_TYPE.applicationData:
        return 'application-data';
      default:
        return 'unexpected-record';
    }
  }

  /**
   * Step 9. That it came under the new keys says what ChangeCipherSpec says, which may be lost or late: Finished does not wait
   * for it.
   */
  #handleFinished(record: DtlsRecord, expected: Secret): DtlsDropReason | undefined {
    for (const fragment of decodeFragments(record.fragment)) {
      if (fragment === undefined) return 'malformed-message';
      const verdict = this.#reassembly.add(fragment);
      if (verdict !== 'kept') return verdict;
    }
    const message = this.#reassembly.peek();
    if (message === undefined) return undefined;
    if (message.type !== HANDSHAKE_TYPE.finished) this.#fail('unexpected-message');
    else if (!equalConstantTime(message.body, expected.bytes)) this.#fail('bad-finished');
    else {
      this.#end();
      this.#outputs.push({ kind: 'connected' });
    }
    return undefined;
  }

  #fail(reason: DtlsFailure): void {
    this.#discardOutputs();
    const alert = alertFor(reason);
    if (alert !== undefined) {
      this.#transmit([this.#writer.write(CONTENT_TYPE.alert, this.#writer.epoch, alert)]);
    }
    this.#end();
    this.#outputs.push({ kind: 'failed', reason });
  }

  /** What was not polled by the end has no taker any more, keys above all. */
  #discardOutputs(): void {
    for (const output of this.#outputs.splice(0)) {
      if (output.kind !== 'keys') continue;
      disposeMasterKey(output.keys.local);
      disposeMasterKey(output.keys.remote);
    }
  }

  #end(): void {
    if (this.#step.at === 'finished') {
      this.#step.protection.dispose();
      this.#step.expected.dispose();
    }
    this.#step = { at: 'over' };
    this.#writer.dispose();
    this.#timer.stop();
    this.#flight = [];
    this.#helloDatagrams = [];
  }

  #sendHello(now: Millis): void {
    this.#flight = [{ kind: 'handshake', epoch: 0, message: this.#hello.message() }];
    this.#helloDatagrams = packFlight(this.#flight, this.#writer);
    this.#transmit(this.#helloDatagrams);
    this.#timer.start(now, this.#options.helloInterval);
  }

  #retransmit(): void {
    // The identical hello has the same record number: a peer that has it already drops the copy as a replay.
    const identical = this.#step.at === 'server-hello' && this.#options.helloInterval !== undefined;
    this.#transmit(identical ? this.#helloDatagrams : packFlight(this.#flight, this.#writer));
  }

  #transmit(datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) this.#outputs.push({ kind: 'transmit', datagram });
  }

  #count(dropped: DtlsDropReason | undefined): void {
    if (dropped !== undefined) this.#drops.add(dropped);
  }
}
