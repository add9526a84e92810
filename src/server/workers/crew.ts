import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Config } from '../../config.ts';
import { type ErrorCode, RekeycastError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { CertificateRecord } from '../../snapshot/schema.ts';
import type { Report } from '../../snapshot/store.ts';
import { type Millis, monotonicNow } from '../../util/clock.ts';
import { Counters } from '../../util/counters.ts';
import { within } from '../waiting.ts';
import { ENDS_WITHIN, EndingThreads } from './ending-threads.ts';
import type { FromFollower, ToFollower } from './messages.ts';
import {
  type AskName,
  type Asks,
  type FromWorker,
  shareCertificate,
  type ToWorker,
  type WorkerData,
  type WorkerFacts,
  type WorkerSettings,
} from './thread-messages.ts';
import { ASK_INTERVAL, Watchdog, type WatchdogOutput } from './watchdog.ts';

/** The program that a worker runs, beside whichever built file this is part of. */
const PROGRAM = new URL('./rekeycast.js', import.meta.url);

const END_PATIENCE: Millis = 500;
/** Monitoring waits no longer for a worker, and takes what that has said before. */
const FACTS_PATIENCE: Millis = 1_000;

/** Messages with media, of a turn of the loop each, that a worker may have before it: some seconds. What comes later than that is of no use to a viewer. */
export const MAX_MEDIA_AHEAD = 1_000;

export interface CrewOptions {
  readonly numbers: readonly number[];
  readonly config: Config;
  readonly log: Logger;
  /** What happened to the files of a worker. */
  readonly stored: Report;
  /** One has ended by itself, or hangs: nothing of this process is to go on. */
  readonly lost: (cause: unknown) => void;
  readonly program?: URL;
}

/** What a worker has found of the process before. */
export type FoundByWorker = Asks['resume']['gives'];

/** What a worker has said last of itself, and for how long it has owed a sign of life. */
export interface HeardFacts extends WorkerFacts {
  readonly silentMs: Millis;
}

interface Member {
  readonly number: number;
  readonly worker: Worker;
  /** How many messages with media it was sent, and has taken; both wrap. */
  mediaSent: number;
  readonly mediaTaken: Int32Array;
  /** Of those, what it had taken when that was looked at last. */
  mediaTakenSeen: number;
  facts: WorkerFacts | undefined;
  /** It may end. */
  released: boolean;
}

interface Asked {
  readonly number: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The workers of a server, each with an engine that follows. A worker that ends by itself, or hangs, ends the process: the next one has all that it had, on
 * disk and in RAM.
 */
export class Crew {
  readonly drops = new Counters<'media for a worker'>();
  readonly #options: CrewOptions;
  readonly #members = new Map<number, Member>();
  readonly #asked = new Map<number, Asked>();
  readonly #watchdog = new Watchdog();
  #watch: NodeJS.Timeout | undefined;
  readonly #ending = new EndingThreads();
  #asks = 0;
  #early: [number, FromFollower][] | undefined = [];
  #hear: (number: number, message: FromFollower) => void = (...heard) => this.#early?.push(heard);

  /** Starts the threads; what they load takes as long as what the server itself does. */
  constructor(options: CrewOptions) {
    this.#options = options;
    const settings = settingsOf(options.config);
    for (const number of options.numbers) {
      const mediaTaken = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
      const workerData: WorkerData = { worker: 'rekeycast', number, settings, mediaTaken };
      const worker = new Worker(options.program ?? PROGRAM, {
        workerData,
        argv: ['worker'],
        name: `worker-${number}`,
      });
      const member: Member = {
        number,
        worker,
        mediaSent: 0,
        mediaTaken,
        mediaTakenSeen: 0,
        facts: undefined,
        released: false,
      };
      this.#members.set(number, member);
      worker.on('message', (message: FromWorker) => this.#handle(number, message));
      worker.on('error', (cause: unknown) => this.#lose(member, cause));
      worker.on('exit', (code) => {
        this.#lose(member, new Error(`it has ended with ${code}`));
        this.#leaveUnanswered(number);
      });
    }
  }

  get numbers(): readonly number[] {
    return [...this.#members.keys()];
  }

  load(runtimeDir: string | undefined): Promise<unknown> {
    return this.#askAll('load', { runtimeDir });
  }

  /** Each at a port of its own, behind that of the server and at its address, which a service manager may have chosen; any that is free where that of the server was any. Who has one keeps it. `patient`: another process may have them for a moment still. */
  bind(
    host: string,
    port: number | 'any',
    patient: boolean,
    numbers: readonly number[] = this.numbers,
  ): Promise<readonly number[]> {
    return Promise.all(
      numbers.map((number) =>
        this.#ask(number, 'bind', { host, port: port === 'any' ? 0 : port + number, patient }),
      ),
    );
  }

  read(): Promise<unknown> {
    return this.#askAll('read', undefined);
  }

  /** From now on they are watched: before, whoever waits for the start waits for them. */
  async resume(
    certificate: CertificateRecord,
    instance: string,
    keepsMedia: boolean,
  ): Promise<ReadonlyMap<number, FoundByWorker>> {
    for (const number of this.numbers) this.#watchdog.watch(number, monotonicNow());
    this.#watch = setInterval(() => this.#look(), ASK_INTERVAL).unref();
    const found = await Promise.all(
      this.numbers.map(async (number) => {
        const asked = { certificate: shareCertificate(certificate), instance, keepsMedia };
        return [number, await this.#ask(number, 'resume', asked)] as const;
      }),
    );
    return new Map(found);
  }

  /** From now on what they say is heard; what they have said already, first. */
  listen(hear: (number: number, message: FromFollower) => void): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    this.#hear = hear;
    for (const heard of early) hear(...heard);
    // So that there is something to say of one that hangs before anybody has asked.
    void this.facts();
  }

  /** Media is dropped, and counted, for one that does not take it. */
  post(number: number, message: ToFollower): void {
    if (message.kind === 'media' && !this.#takesMedia(number)) this.drops.add('media for a worker');
    else this.#post(number, message);
  }

  #takesMedia(number: number): boolean {
    const member = this.#members.get(number);
    if (member === undefined) return false;
    if (((member.mediaSent - Atomics.load(member.mediaTaken, 0)) | 0) >= MAX_MEDIA_AHEAD) return false;
    member.mediaSent = (member.mediaSent + 1) | 0;
    return true;
  }

  /** Of one that does not answer, what it has said before. */
  async facts(): Promise<ReadonlyMap<number, HeardFacts>> {
    const asked = [...this.#members.values()].map(async (member) => {
      member.facts = await this.#ask(member.number, 'facts', undefined);
    });
    await within(Promise.allSettled(asked), FACTS_PATIENCE);
    const heard = new Map<number, HeardFacts>();
    for (const { number, facts } of this.#members.values()) {
      const silentMs = this.#watchdog.silenceOf(number, monotonicNow());
      if (facts !== undefined) heard.set(number, { ...facts, silentMs });
    }
    return heard;
  }

  reseal(): Promise<unknown> {
    return this.#askAll('reseal', undefined);
  }

  /** On file and shown by all of them when it resolves. */
  async replaceCertificate(certificate: CertificateRecord): Promise<void> {
    await Promise.all(
      this.numbers.map((number) => this.#ask(number, 'certificate', shareCertificate(certificate))),
    );
  }

  /** New keys for everybody: settles when there are no others, or the time is over. */
  renew(patience: Millis): Promise<unknown> {
    return this.#askAll('renew', { patience });
  }

  async settle(): Promise<'settled' | 'disk-hangs'> {
    const settled = await this.#askAll('settle', undefined);
    return settled.includes('disk-hangs') ? 'disk-hangs' : 'settled';
  }

  /** When it settles, they have let go of ports and directories, and are gone. Rejects where one could not write its last snapshot. */
  async release(patience: Millis, onlyRenewed = false): Promise<void> {
    const released = await Promise.allSettled(
      this.numbers.map((number) => this.#release(number, patience, onlyRenewed)),
    );
    // Not before the last of them: until then the directories are not the next server's.
    for (const result of released) if (result.status === 'rejected') throw result.reason;
  }

  /** One of them that has nobody, and is not needed any more. */
  dismiss(number: number, patience: Millis): Promise<void> {
    return this.#release(number, patience, false);
  }

  /** At once, whatever they do. */
  async abandon(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => this.#abandon(member)));
  }

  async #release(number: number, patience: Millis, onlyRenewed: boolean): Promise<void> {
    const member = this.#members.get(number);
    if (member === undefined) return;
    // Its end may be seen before its answer is heard.
    this.#letEnd(member);
    try {
      await this.#ask(number, 'release', { patience, onlyRenewed });
    } finally {
      await this.#end(member);
    }
  }

  async #abandon(member: Member): Promise<void> {
    this.#letEnd(member);
    const left = once(member.worker, 'exit');
    this.#post(member.number, { kind: 'leave' });
    await within(left, ENDS_WITHIN);
    await this.#end(member);
  }

  async #end(member: Member): Promise<void> {
    this.#letEnd(member);
    this.#forget(member);
    // One that waits for a disk ends when that answers.
    await within(member.worker.terminate(), END_PATIENCE);
    this.#leaveUnanswered(member.number);
  }

  #letEnd(member: Member): void {
    member.released = true;
    this.#ending.add(member.worker);
  }

  #forget({ number }: Member): void {
    this.#members.delete(number);
    this.#watchdog.forget(number);
    if (this.#members.size === 0) clearInterval(this.#watch);
  }

  /** Whoever takes media lives, however much is before the question in its queue. */
  #look(): void {
    for (const member of this.#members.values()) {
      const taken = Atomics.load(member.mediaTaken, 0);
      if (taken !== member.mediaTakenSeen) this.#watchdog.hear(member.number);
      member.mediaTakenSeen = taken;
    }
    this.#watchdog.handleTimeout(monotonicNow());
    for (let output = this.#watchdog.pollOutput(); output !== undefined; output = this.#watchdog.pollOutput())
      this.#obey(output);
  }

  #obey(output: WatchdogOutput): void {
    const { worker } = output;
    if (output.kind === 'hangs') {
      const member = this.#members.get(worker);
      if (member !== undefined) void this.#giveUp(member, output.silentMs);
      return;
    }
    this.#ask(worker, 'alive', undefined).then(
      () => this.#watchdog.hear(worker),
      // It has ended, which is told by others.
      () => undefined,
    );
  }

  #leaveUnanswered(of: number): void {
    for (const [id, { number, reject }] of this.#asked) {
      if (number !== of) continue;
      this.#asked.delete(id);
      reject(new Error('the worker has ended'));
    }
  }

  #askAll<Name extends AskName>(ask: Name, asked: Asks[Name]['with']): Promise<Asks[Name]['gives'][]> {
    return Promise.all(this.numbers.map((number) => this.#ask(number, ask, asked)));
  }

  #ask<Name extends AskName>(
    number: number,
    ask: Name,
    asked: Asks[Name]['with'],
  ): Promise<Asks[Name]['gives']> {
    const id = ++this.#asks;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { number, resolve: resolve as (value: unknown) => void, reject });
      this.#post(number, { kind: 'ask', id, ask, with: asked } as ToWorker);
    });
  }

  #post(number: number, message: ToWorker): void {
    this.#members.get(number)?.worker.postMessage(message);
  }

  #handle(number: number, message: FromWorker): void {
    switch (message.kind) {
      case 'answer':
        this.#take(message.id)?.resolve(message.value);
        break;
      case 'failure': {
        const { id, code, message: words } = message;
        const error = code === undefined ? new Error(words) : new RekeycastError(code as ErrorCode, words);
        this.#take(id)?.reject(error);
        break;
      }
      case 'log':
        this.#options.log[message.level]({ worker: number, ...message.event }, message.words);
        break;
      case 'stored':
        this.#options.stored(message.event);
        break;
      default:
        this.#hear(number, message);
    }
  }

  #take(id: number): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }

  /** Its sessions cannot be had again but by another process, which finds all that this one has written. */
  #lose(member: Member, cause: unknown): void {
    if (member.released) return;
    member.released = true;
    this.#forget(member);
    this.#options.log.error(
      { event: 'worker-lost', worker: member.number, err: cause },
      'a worker has ended by itself, and so does the server: the next one goes on with all sessions',
    );
    this.#options.lost(cause);
  }

  /** Also one that is being released, and would never be. */
  async #giveUp(member: Member, silentMs: Millis): Promise<void> {
    const { number } = member;
    this.#options.log.error(
      { event: 'worker-hangs', worker: number, silentMs: Math.round(silentMs) },
      'a worker has shown no sign of life for so long, and the server ends: the next one goes on with all sessions',
    );
    await this.#end(member);
    this.#options.lost(new Error(`worker ${number} hangs`));
  }
}

/** Nothing of the access and of TURN, which are secrets that the door alone needs. */
function settingsOf(config: Config): WorkerSettings {
  const { stateDir, keysDir, keyFile, keyCommand, keyTimeout, passphraseFile } = config;
  const { staleKeyTtl, mediaTtl, sessionTtl, rekeyInterval } = config;
  const { announced, limits, videoCodecs, srtpProfiles, sendPath } = config;
  return {
    ...{ stateDir, keysDir, keyFile, keyCommand, keyTimeout, passphraseFile },
    ...{ staleKeyTtl, mediaTtl, sessionTtl, rekeyInterval },
    ...{ announced, limits, videoCodecs, srtpProfiles, sendPath },
  };
}
