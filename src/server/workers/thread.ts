import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { candidateAddresses } from '../../config.ts';
import { messageOf, RekeycastError } from '../../errors.ts';
import { chooseKeySource } from '../../keyring/choose-source.ts';
import { Keyring } from '../../keyring/keyring.ts';
import type { Logger } from '../../log.ts';
import { EventLoopDelay } from '../../observability/event-loop.ts';
import { SnapshotWrites } from '../../observability/snapshot-writes.ts';
import { FileSnapshotStore } from '../../snapshot/file-store.ts';
import type { CertificateRecord, IdentitySnapshot } from '../../snapshot/schema.ts';
import { ownFolder } from '../../snapshot/worker-folders.ts';
import { UdpSocket } from '../../transport/socket.ts';
import { type Millis, monotonicNow } from '../../util/clock.ts';
import { countUnder } from '../../util/counters.ts';
import { nodeFileSystem } from '../../util/file-system.ts';
import { secureRandom } from '../../util/rng.ts';
import { Secret } from '../../util/secret.ts';
import { loadSodium } from '../../util/sodium.ts';
import type { Broadcast } from '../broadcast.ts';
import { dtlsIdentity } from '../certificate.ts';
import { EngineDriver } from '../engine-driver.ts';
import { identityWriter, mediaWriter, writeAnew, writeLast } from '../engine-snapshots.ts';
import { openEngine, tendEngine } from '../engine-start.ts';
import type { IdentityWriter } from '../identity-writer.ts';
import type { MediaWriter } from '../media-writer.ts';
import { collectOldKeys } from '../old-keys.ts';
import { DISK_PATIENCE_MS, FLUSH_PATIENCE_MS, FRESH_CHECK_INTERVAL } from '../rhythm.ts';
import { elapsed, whenLetGo, within } from '../waiting.ts';
import { follow, pollFollower, reportOf } from './follower.ts';
import {
  type AskName,
  type Asks,
  type FromWorker,
  type ToWorker,
  takeCertificate,
  type WorkerData,
  type WorkerFacts,
} from './thread-messages.ts';

/** Whether this thread is one of ours. Runs the worker then, until it is released. */
export function runWorker(): boolean {
  const data = workerData as WorkerData | null;
  if (isMainThread || parentPort === null || data?.worker !== 'rekeycast') return false;
  new WorkerThread(parentPort, data).listen();
  return true;
}

type Answers = { readonly [Name in AskName]: (asked: Asks[Name]['with']) => Promise<Asks[Name]['gives']> };

class WorkerThread {
  readonly #port: MessagePort;
  readonly #data: WorkerData;
  readonly #writes = new SnapshotWrites();
  readonly #eventLoop = new EventLoopDelay();
  readonly #intervals: NodeJS.Timeout[] = [];
  #keys!: Keyring;
  #store!: FileSnapshotStore;
  #udp!: UdpSocket;
  #found: IdentitySnapshot | undefined;
  #broadcast!: Broadcast;
  #driver: EngineDriver | undefined;
  #identity!: IdentityWriter;
  #media: MediaWriter | undefined;
  #renewedAt: Millis | undefined;
  #stopped = false;

  readonly #answers: Answers = {
    load: ({ runtimeDir }) => this.#load(runtimeDir),
    bind: ({ host, port, patient }) => this.#bind(host, port, patient),
    read: async () => {
      this.#found = await this.#store.readIdentity();
    },
    resume: (asked) => this.#resume(asked),
    facts: async () => this.#facts(),
    alive: async () => undefined,
    reseal: async () => {
      await this.#keys.reload();
      await this.#writeAnew();
      return this.#keys.primary().id;
    },
    certificate: async (shared) => this.#replaceCertificate(takeCertificate(shared)),
    renew: ({ patience }) => this.#renew(patience),
    settle: () => this.#settle(),
    release: (asked) => this.#release(asked),
  };

  constructor(port: MessagePort, data: WorkerData) {
    this.#port = port;
    this.#data = data;
  }

  listen(): void {
    this.#port.on('message', (message: ToWorker) => {
      if (message.kind === 'ask') void this.#answer(message);
      // The thread alone: what is to be done before it ends, such as ending a key command, is done.
      else if (message.kind === 'leave') process.exit(0);
      else {
        if (message.kind === 'media') Atomics.add(this.#data.mediaTaken, 0, 1);
        this.#driver?.run((now) => follow(this.#broadcast, message, now));
      }
    });
  }

  async #answer({ id, ask, with: asked }: Extract<ToWorker, { kind: 'ask' }>): Promise<void> {
    try {
      const answer = this.#answers[ask] as (asked: unknown) => Promise<unknown>;
      this.#post({ kind: 'answer', id, value: await answer(asked) });
    } catch (error) {
      const code = error instanceof RekeycastError ? error.code : undefined;
      this.#post({ kind: 'failure', id, code, message: messageOf(error) });
    }
    if (ask === 'release') this.#port.close();
  }

  #post(message: FromWorker): void {
    this.#port.postMessage(message);
  }

  async #load(runtimeDir: string | undefined): Promise<undefined> {
    await loadSodium();
    const { number, settings } = this.#data;
    this.#keys = await Keyring.open({
      source: chooseKeySource(settings, process.env, nodeFileSystem),
      create: false,
      // The server itself does the same with them, and tells of it.
      record: () => undefined,
    });
    this.#keys.writer();
    const stateFolder = ownFolder(settings.stateDir, number, nodeFileSystem);
    const runtimeFolder = runtimeDir && ownFolder(runtimeDir, number, nodeFileSystem);
    if (runtimeFolder !== undefined) nodeFileSystem.makeDirectory(runtimeFolder, 0o700);
    this.#store = new FileSnapshotStore({
      stateDir: stateFolder,
      runtimeDir: runtimeFolder,
      ownRuntimeDir: runtimeDir,
      keys: this.#keys,
      report: (event) => this.#post({ kind: 'stored', event }),
      written: this.#writes.written.bind(this.#writes),
    });
  }

  async #bind(host: string, port: number, patient: boolean): Promise<number> {
    const bind = (): Promise<UdpSocket> => UdpSocket.bind(host, port);
    this.#udp ??= await (patient ? whenLetGo(bind) : bind());
    return this.#udp.port;
  }

  async #resume({
    certificate: shared,
    instance,
    keepsMedia,
  }: Asks['resume']['with']): Promise<Asks['resume']['gives']> {
    const certificate = takeCertificate(shared);
    const found = this.#found;
    // Contexts of sessions that nobody knows, or that were not to be kept.
    if (found === undefined || !keepsMedia) this.#store.dropMedia();
    const media = await this.#store.takeMedia();
    this.#keys.forget();
    found?.certificate.privateKey.dispose();
    const target = { store: this.#store, writes: this.#writes, log: this.#log };
    if (keepsMedia) this.#media = mediaWriter(target);
    this.#broadcast = this.#createBroadcast(certificate, instance, found, media);
    this.#identity = identityWriter(target, this.#broadcast);
    const driver = new EngineDriver({
      broadcast: this.#broadcast,
      udp: this.#udp,
      drain: () => this.#drain(),
    });
    this.#driver = driver;
    const sessions = [...this.#broadcast.sessions].map(({ id }) => id);
    driver.start();
    this.#begin();
    return { sessions, contexts: media?.peers.length ?? 0 };
  }

  #createBroadcast(
    certificate: CertificateRecord,
    instance: string,
    found: IdentitySnapshot | undefined,
    media: Awaited<ReturnType<FileSnapshotStore['takeMedia']>>,
  ): Broadcast {
    const { number, settings } = this.#data;
    const { announced } = settings;
    const port = announced.port === undefined ? undefined : announced.port + number;
    const at = { host: this.#udp.host, announced: { ...announced, port } };
    const own = {
      place: 'follows',
      certificate,
      tokenKey: found?.tokenKey ?? Secret.random(32, secureRandom),
      instance,
      candidates: candidateAddresses(at, this.#udp.port),
    } as const;
    return openEngine(settings, own, this.#media, found && { identity: found, media });
  }

  #begin(): void {
    this.#eventLoop.start();
    tendEngine({
      broadcast: this.#broadcast,
      udp: this.#udp,
      identity: this.#identity,
      sendPath: this.#data.settings.sendPath,
      descriptor: undefined,
      log: this.#log,
      isStopped: () => this.#stopped,
      every: (interval, work) => this.#intervals.push(setInterval(work, interval)),
    });
  }

  #drain(): void {
    const broadcast = this.#broadcast;
    for (let output = pollFollower(broadcast); output !== undefined; output = pollFollower(broadcast)) {
      const report = reportOf(broadcast, output);
      if (report === undefined) {
        if (output.kind === 'transmit') this.#udp.send(output.datagram, output.to);
        else if (output.kind === 'identity-changed') this.#identity.request();
      } else if (output.kind === 'message' && output.afterWrite)
        this.#identity.afterWrite(() => this.#post(report));
      else this.#post(report);
      if (output.kind === 'event') collectOldKeys(output.event, this.#log);
    }
  }

  #writeAnew(): Promise<void> {
    return writeAnew(this.#store, this.#broadcast, this.#media);
  }

  /** The main thread has it on file, and its own counts: a disk that is full here keeps nobody from being shown it, and does not make an order fail that is carried out. */
  async #replaceCertificate(certificate: CertificateRecord): Promise<undefined> {
    if (this.#stopped) {
      certificate.privateKey.dispose();
      return;
    }
    const identity = dtlsIdentity(certificate);
    this.#driver?.run((now) => this.#broadcast.replaceCertificate(certificate, identity, now));
    try {
      await this.#writeAnew();
    } catch (error) {
      if (this.#stopped) return;
      this.#writes.failed('identity');
      this.#log.error(
        { event: 'identity-not-written', err: error },
        'the certificate before is in the files of this worker until a write succeeds, which is tried again',
      );
    }
  }

  async #renew(patience: Millis): Promise<undefined> {
    const since = monotonicNow();
    this.#renewedAt = since;
    this.#driver?.run((now) => this.#broadcast.rekeyAll(now));
    while (!this.#stopped && !this.#broadcast.isRekeyedSince(since) && monotonicNow() <= since + patience)
      await elapsed(FRESH_CHECK_INTERVAL);
  }

  async #settle(): Promise<'settled' | 'disk-hangs'> {
    if (!(await within(this.#identity.written(), DISK_PATIENCE_MS))) return 'disk-hangs';
    await within(this.#identity.flush(), FLUSH_PATIENCE_MS);
    return 'settled';
  }

  /** From here on there is no way back. It may have been asked at any point of its start. */
  async #release({ patience, onlyRenewed }: Asks['release']['with']): Promise<undefined> {
    this.#stopped = true;
    for (const interval of this.#intervals) clearInterval(interval);
    this.#eventLoop.stop();
    if (this.#driver !== undefined) {
      this.#driver.stop();
      this.#udp.receive(() => undefined);
      try {
        await writeLast(this.#identity, patience, this.#log);
        if (onlyRenewed && this.#renewedAt !== undefined) this.#broadcast.writeOnlySince(this.#renewedAt);
        this.#broadcast.refreshMedia(monotonicNow());
        this.#store.close();
      } finally {
        this.#broadcast.close();
        // The thread may be there for as long as a disk hangs.
        this.#broadcast.certificate.privateKey.dispose();
      }
    }
    this.#found?.certificate.privateKey.dispose();
    (this.#udp as UdpSocket | undefined)?.close();
  }

  #facts(): WorkerFacts {
    const drops = this.#broadcast.dropCounts;
    countUnder(drops, 'udp', this.#udp.drops);
    return {
      udpPort: this.#udp.port,
      broadcast: this.#broadcast.facts(monotonicNow()),
      drops: drops.toJSON(),
      traffic: { ...this.#udp.traffic },
      identity: this.#writes.capture('identity'),
      media: this.#media === undefined ? undefined : this.#writes.capture('media'),
      eventLoopDelayMs: this.#eventLoop.capture(),
    };
  }

  get #log(): Logger {
    const tell =
      (level: keyof Logger) =>
      (event: object, words?: string): void =>
        this.#post({ kind: 'log', level, event: plain(event), words });
    return { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
  }
}

/** An error may have in it what cannot be said to another thread. */
const plain = (event: object): object =>
  Object.fromEntries(
    Object.entries(event).map(([name, value]) => [
      name,
      value instanceof Error ? new Error(messageOf(value)) : value,
    ]),
  );
