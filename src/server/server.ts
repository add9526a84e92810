/**
 * The engine in the world: sockets, files, clocks.
 *
 *   1. bind both ports, or take those that the service manager keeps (who has not got them touches no snapshot)
 *   2. lock RUNTIME_DIR and STATE_DIR, read the identity, take the media snapshot
 *   3. answer what has waited on UDP, forward media on stale contexts, speak first to every persisted address
 *   4. HTTP and WebSocket
 *   5. write a fresh snapshot
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Config } from '../config.ts';
import { candidateAddresses } from '../config.ts';
import { RekeycastError } from '../errors.ts';
import { type AdminResponse, adminSocketPath } from '../keyring/admin-protocol.ts';
import { type Logger, undisturbed } from '../log.ts';
import { EventLoopDelay } from '../observability/event-loop.ts';
import { writeExposition } from '../observability/exposition.ts';
import type { ServerFacts } from '../observability/facts.ts';
import { metricsOf } from '../observability/metrics.ts';
import { AdminSocket } from '../signaling/admin.ts';
import { AdminHttp } from '../signaling/admin-http.ts';
import { KnownOrigins } from '../signaling/origin.ts';
import { announceServer } from '../snapshot/run-file.ts';
import type { CertificateRecord, IdentitySnapshot, MediaSnapshot } from '../snapshot/schema.ts';
import { MAX_WORKERS } from '../snapshot/worker-folders.ts';
import { UdpSocket } from '../transport/socket.ts';
import { type Millis, monotonicNow, wallNow } from '../util/clock.ts';
import { countUnder } from '../util/counters.ts';
import { secureRandom } from '../util/rng.ts';
import { Secret } from '../util/secret.ts';
import { AdminDesk, ENDING, type Order } from './admin-desk.ts';
import { AuditTrail } from './audit-trail.ts';
import type { Broadcast } from './broadcast.ts';
import type { BroadcastEvent } from './broadcast-io.ts';
import { createCertificate, dtlsIdentity } from './certificate.ts';
import { CertificateKeeper, describeCertificate } from './certificate-keeper.ts';
import { DemoDesk, type DemoWorks } from './demo-desk.ts';
import { Drain, type DrainEnd } from './drain.ts';
import { EngineDriver } from './engine-driver.ts';
import { identityWriter, mediaWriter, writeAnew, writeLast } from './engine-snapshots.ts';
import { openEngine, tendEngine } from './engine-start.ts';
import { Front } from './front.ts';
import type { IdentityWriter } from './identity-writer.ts';
import type { InheritedSockets } from './inherited-sockets.ts';
import type { MediaWriter } from './media-writer.ts';
import { collectOldKeys } from './old-keys.ts';
import { DISK_PATIENCE_MS, FLUSH_PATIENCE_MS, FRESH_CHECK_INTERVAL, FRESH_PATIENCE } from './rhythm.ts';
import { serverFacts } from './server-facts.ts';
import {
  claimStorage,
  lockStorage,
  openStorage,
  type Storage,
  type StorageOptions,
  takeSnapshots,
} from './storage.ts';
import type { StorageLock } from './storage-lock.ts';
import { openTurn, type RelaysFor } from './turn.ts';
import { deferred, elapsed, unlessStopped, whenLetGo, within } from './waiting.ts';
import type { Crew, FoundByWorker } from './workers/crew.ts';
import { checkPorts, foldersLeftAlone, removeFolders, workersToRun } from './workers/folders.ts';
import { sumFacts } from './workers/sum-facts.ts';
import { Switchboard } from './workers/switchboard.ts';

/** How often the certificate's age is looked at. */
const CERTIFICATE_CHECK_INTERVAL: Millis = 60_000;
/** Names of folders in one line of the log. */
const MAX_FOLDERS_SAID = 10;

/** How often a server that drains looks who is left. */
const DRAIN_CHECK_INTERVAL: Millis = 100;

/** A server that serves. */
export interface RunningServer {
  readonly port: number;
  readonly udpPort: number;
  /** It goes on with sessions of a server before. @internal */
  readonly resumed: boolean;
  /** A drain is over: it is to be shut down. Stays pending otherwise. */
  readonly drained: Promise<DrainEnd>;
  /** Another server has taken over: this one is shut down. Stays pending otherwise. */
  readonly handedOver: Promise<void>;
  /** Is not ready any more, writes both snapshots a last time, tells the pages and closes. */
  shutdown(): Promise<void>;
}

/** What the configuration cannot hold. */
export interface StartOptions extends StorageOptions {
  /** Bound sockets that this process was given, in the place of ports of its own. */
  readonly inherited?: InheritedSockets;
  /** Lets a server that runs on these directories go on until this one has loaded what it needs. When this resolves, it has let go of all it has. */
  readonly takeOver?: () => Promise<void>;
  /** Works the buttons of a demonstration; there are none where it is absent. */
  readonly demo?: DemoWorks;
  /** Ends the start, which throws its reason, unless a snapshot has been taken already: then the server starts, and can be shut down. */
  readonly stop?: AbortSignal;
}

/** Throws `PORT_IN_USE`, `KEY_*`, `STATE_IN_USE`, `STATE_UNWRITABLE` or `SEALED_FILE_INVALID`; nothing has been lost then. */
export async function startServer(
  config: Config,
  log: Logger,
  options: StartOptions = {},
): Promise<RunningServer> {
  const server = new Server(config, undisturbed(log), options);
  await server.start();
  return server;
}

class Server implements RunningServer {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #inherited: InheritedSockets;
  readonly #stopSignal: AbortSignal;
  readonly #takeOver: (() => Promise<void>) | undefined;
  /** Why what is under way is given up. */
  readonly #ending = new AbortController();
  readonly #storageOptions: StorageOptions;
  readonly #origins: KnownOrigins;
  readonly #relaysFor: RelaysFor | undefined;
  #udp!: UdpSocket;
  #front!: Front;
  #broadcast!: Broadcast;
  #switchboard!: Switchboard;
  /** Threads that have viewers. */
  #crew: Crew | undefined;
  #driver: EngineDriver | undefined;
  #storage!: Storage;
  #lock: StorageLock | undefined;
  #identity!: IdentityWriter;
  #admin: AdminSocket | undefined;
  #adminHttp: AdminHttp | undefined;
  readonly #eventLoop = new EventLoopDelay();
  #resealing = false;
  #resumed = false;
  #announced: { withdraw(): void } | undefined;
  #media: MediaWriter | undefined;
  #ready = false;
  #stopped = false;
  readonly #audit = new AuditTrail((event) => this.#storage.audit.record(event));
  readonly #certificates = new CertificateKeeper({
    current: () => this.#broadcast.certificate,
    replace: (certificate) => this.#replaceCertificate(certificate),
  });
  #shutdown: Promise<void> | undefined;
  readonly #demo: DemoDesk | undefined;
  readonly #drain = new Drain(() => this.#countSessions());
  readonly #handedOver = deferred<void>();
  readonly #desk: AdminDesk;
  readonly #intervals: NodeJS.Timeout[] = [];

  constructor(
    config: Config,
    log: Logger,
    { inherited = {}, stop, takeOver, demo, ...storage }: StartOptions,
  ) {
    this.#storageOptions = storage;
    this.#config = config;
    this.#log = log;
    this.#inherited = inherited;
    this.#stopSignal = stop ?? new AbortController().signal;
    this.#takeOver = takeOver;
    this.#origins = new KnownOrigins(config.publicOrigins, hostname());
    this.#relaysFor = config.turn && openTurn(config.turn);
    this.#demo = demo && this.#openDemo(demo);
    this.#desk = new AdminDesk({
      log,
      keepsSockets: inherited.udp !== undefined || inherited.tcp !== undefined,
      alwaysFresh: config.handoff === 'fresh',
      isEnding: () => this.#shutdown !== undefined,
      perform: (order) => this.#perform(order),
      renewKeys: (isGivenUp) => this.#renewKeys(isGivenUp),
      settle: () => this.#settle(),
      letGo: (since) => this.#letGo(since),
    });
  }

  get port(): number {
    return this.#front.port;
  }

  get udpPort(): number {
    return this.#udp.port;
  }

  get resumed(): boolean {
    return this.#resumed;
  }

  get handedOver(): Promise<void> {
    return this.#handedOver.promise;
  }

  get drained(): Promise<DrainEnd> {
    return this.#drain.ended;
  }

  async start(): Promise<void> {
    this.#front = await Front.prepare({
      config: this.#config,
      log: this.#log,
      fd: this.#inherited.tcp?.fd,
      origins: this.#origins,
      demo: this.#demo,
      isReady: () => this.#ready,
      isDraining: () => this.#drain.hasBegun && this.#shutdown === undefined,
    });
    await this.#hire();
    try {
      await this.#startAll();
    } catch (error) {
      await this.#crew?.abandon();
      throw error;
    }
  }

  /** Workers load what they need while the server does. */
  async #hire(): Promise<void> {
    const { store, keySource } = this.#storageOptions;
    const { workers, stateDir } = this.#config;
    if (store !== undefined || keySource !== undefined) {
      if (workers === 0) return;
      throw new RekeycastError(
        'CONFIG_INVALID',
        `WORKERS is ${workers}: workers keep what survives in files, sealed to the keys that the settings name, and this server is given another store or other keys`,
      );
    }
    const foreign = foldersLeftAlone(stateDir);
    if (foreign.length > 0)
      this.#log.warn(
        {
          event: 'worker-folders-ignored',
          folders: foreign.slice(0, MAX_FOLDERS_SAID),
          count: foreign.length,
        },
        `there are never more than ${MAX_WORKERS} workers: nothing in these folders of STATE_DIR is read or changed`,
      );
    const numbers = workersToRun(workers, stateDir);
    if (numbers.length === 0) return;
    checkPorts(numbers, this.#config);
    const { Crew } = await import('./workers/crew.ts');
    this.#crew = new Crew({
      numbers,
      config: this.#config,
      log: this.#log,
      stored: (event) => this.#storage.report(event),
      // Past whoever waits for an answer.
      lost: (cause) =>
        setImmediate(() => {
          throw cause;
        }),
    });
  }

  async #startAll(): Promise<void> {
    if (this.#takeOver !== undefined) {
      await this.#warmUp();
      await unlessStopped(this.#takeOver(), this.#stopSignal);
    }
    const { host, udpPort } = this.#config;
    const { udp } = this.#inherited;
    const bind = () =>
      bindBoth(
        udp === undefined ? UdpSocket.bind(host, udpPort) : UdpSocket.adopt(udp.fd, udp.family),
        this.#front.bind(),
      );
    [this.#udp] = await (this.#takeOver === undefined ? bind() : whenLetGo(bind));
    try {
      await this.#resume();
      this.#driver?.start();
      await this.#front.open({
        opened: (page, token, position) =>
          this.#run((now) => this.#switchboard.openPage(page, token, position, now)),
        message: (page, message) =>
          this.#run((now) => this.#switchboard.handleMessage(page.id, message, now)),
        closed: (page) => this.#run((now) => this.#switchboard.closePage(page.id, now)),
      });
      await this.#openAdmin();
    } catch (error) {
      // Nothing may be left that keeps the process, and with it the ports.
      this.#stop();
      await this.#crew?.abandon();
      this.#announced?.withdraw();
      this.#admin?.close();
      this.#udp.close();
      this.#front.close();
      this.#lock?.release();
      throw error;
    }
    // Whoever was quick has asked it to drain already.
    this.#ready = !this.#drain.hasBegun;
    this.#openAdminHttp();
    this.#eventLoop.start();
    tendEngine({
      broadcast: this.#broadcast,
      udp: this.#udp,
      identity: this.#identity,
      sendPath: this.#config.sendPath,
      descriptor: udp?.fd,
      log: this.#log,
      isStopped: () => this.#stopped,
      every: (interval, work) => this.#every(interval, work),
    });
    this.#front.watchTls((interval, work) => this.#every(interval, work));
    // Not before the media flows: making a certificate takes longer than the first packet.
    this.#lookAtCertificate();
    this.#every(CERTIFICATE_CHECK_INTERVAL, () => this.#lookAtCertificate());
  }

  shutdown(): Promise<void> {
    this.#shutdown ??= this.#end();
    return this.#shutdown;
  }

  /** Media goes on while the identity is written, and stops with the last media snapshot. */
  async #end(): Promise<void> {
    // Whoever sends visitors here has to know first.
    this.#ready = false;
    this.#ending.abort(new Error(ENDING.error));
    const settled = await this.#settle();
    await this.#release(settled === 'settled' ? DISK_PATIENCE_MS : FLUSH_PATIENCE_MS);
    await this.#closeAudit();
  }

  /** What was ordered is done, and the identity on disk is as new as can be, or the disk hangs. Media goes on meanwhile. */
  async #settle(): Promise<'settled' | 'disk-hangs'> {
    const written = this.#desk.settled().then(() => this.#identity.written());
    if (!(await within(written, DISK_PATIENCE_MS))) return 'disk-hangs';
    const workers = this.#crew?.settle();
    await within(this.#identity.flush(), FLUSH_PATIENCE_MS);
    return (await workers) ?? 'settled';
  }

  /** From here on there is no way back. When it resolves, another process can have all that this one had. */
  async #release(patience: Millis, onlyRenewed = false): Promise<void> {
    this.#stop();
    this.#udp.receive(() => undefined);
    const workers = this.#crew
      ?.release(patience, onlyRenewed)
      .catch((error: unknown) => this.#log.error({ event: 'worker-not-released', err: error }));
    await writeLast(this.#identity, patience, this.#log);
    this.#unhindered(() => this.#broadcast.refreshMedia(monotonicNow()));
    // The directories are the next server's: what comes late must not lie over what that one writes.
    this.#unhindered(() => this.#storage.store.close?.());
    this.#front.sendAway();
    this.#announced?.withdraw();
    this.#admin?.close();
    this.#udp.close();
    this.#front.close();
    this.#broadcast.close();
    await workers;
    this.#lock?.release();
  }

  /** A store may be somebody else's: what it throws at the end keeps nothing else from being let go. Indices that were not granted are not used. */
  #unhindered(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#log.error(
        { event: 'store-failed', err: error },
        'the store of snapshots has failed at the end: the next server finds what it had before',
      );
    }
  }

  async #closeAudit(): Promise<void> {
    this.#audit.note('server-stopped');
    await this.#flushAudit();
  }

  /** What is on record so far, or as much of it as a disk takes that may hang. */
  #flushAudit(): Promise<unknown> {
    return within(this.#storage.audit.flush(), FLUSH_PATIENCE_MS);
  }

  #openDemo(works: DemoWorks): DemoDesk {
    return new DemoDesk({
      works,
      tell: (message) => this.#front.tellPresenters(message),
      note: async (action) => {
        this.#log.warn(
          { event: 'demo-ordered', action },
          'a visitor has pressed a button of the demonstration',
        );
        this.#audit.note('demo-ordered', { action });
        await this.#flushAudit();
      },
      failed: (action, error) =>
        this.#log.error(
          { event: 'demo-failed', action, err: error },
          'what a button of the demonstration stands for could not be done',
        ),
    });
  }

  /** No more work of its own accord. */
  #stop(): void {
    this.#ready = false;
    this.#stopped = true;
    for (const interval of this.#intervals) clearInterval(interval);
    this.#driver?.stop();
    this.#eventLoop.stop();
    this.#adminHttp?.close();
  }

  #openAdminHttp(): void {
    const { admin } = this.#config;
    if (admin === undefined) return;
    this.#adminHttp = new AdminHttp({
      ...admin,
      origins: this.#origins,
      isReady: () => this.#ready,
      metrics: async () => writeExposition(metricsOf(await this.#facts())),
      listening: (port) => this.#log.info({ event: 'admin-address', host: admin.host, port }),
      failed: (why) =>
        this.#log.error(
          { event: 'admin-address-unavailable', ...admin, why },
          'visitors are served, but there are no metrics until the address can be had',
        ),
    });
  }

  async #openAdmin(): Promise<void> {
    const { stateDir } = this.#config;
    const { runtimeDir } = this.#storage;
    const adminSocket = adminSocketPath(stateDir, runtimeDir);
    this.#admin = await AdminSocket.listen(adminSocket, (request, gone) => this.#desk.handle(request, gone));
    this.#announced = announceServer(stateDir, { adminSocket, runtimeDir });
  }

  /** All that takes time and can be done beside a server that runs. What is wrong is found while that one goes on. */
  async #warmUp(): Promise<void> {
    await this.#openStorage(true);
    await this.#loadWorkers();
    await Front.warmUp();
    // The port is taken as yet; whether the address is this machine's shows at any other.
    if (this.#inherited.udp === undefined) (await UdpSocket.bind(this.#config.host, 0)).close();
    await this.#bindNewWorkers();
  }

  /** Ports that the running server has not. Were one of them somebody else's, that server would have let go for nothing. */
  async #bindNewWorkers(): Promise<void> {
    const { host, udpPort, stateDir } = this.#config;
    const crew = this.#crew;
    if (crew === undefined || this.#inherited.udp !== undefined || udpPort === 0) return;
    const before = new Set(workersToRun(0, stateDir));
    await crew.bind(
      host,
      udpPort,
      false,
      crew.numbers.filter((number) => !before.has(number)),
    );
  }

  async #openStorage(beside: boolean): Promise<void> {
    const opening = openStorage(this.#config, this.#log, { ...this.#storageOptions, beside });
    this.#storage = await unlessStopped(opening, this.#stopSignal);
  }

  /** Each asks its key source, which may take its time. */
  async #loadWorkers(): Promise<void> {
    const loading = this.#crew?.load(this.#storage.runtimeDir);
    if (loading !== undefined) await unlessStopped(loading, this.#stopSignal);
  }

  async #resume(): Promise<void> {
    if (this.#takeOver === undefined) {
      await this.#openStorage(false);
      await this.#loadWorkers();
    } else await claimStorage(this.#config, this.#storage);
    const { store, writes, keepsMedia } = this.#storage;
    // Other ports are no lock on the same directories.
    this.#lock = await lockStorage(this.#config, this.#storage, this.#log);
    // Who has not got all ports, and cannot read all that is sealed, takes nothing.
    await this.#crew?.bind(
      this.#udp.host,
      this.#anyPort ? 'any' : this.#udp.port,
      this.#takeOver !== undefined,
    );
    await this.#crew?.read();
    this.#stopSignal.throwIfAborted();
    const { identity: restored, media } = await takeSnapshots(this.#storage);
    const target = { store, writes, log: this.#log };
    if (keepsMedia) this.#media = mediaWriter(target);
    const instance = randomUUID();
    this.#broadcast = this.#createBroadcast(
      restored ?? (await this.#firstIdentity()),
      instance,
      restored,
      media,
    );
    const found = await this.#resumeWorkers(instance);
    const crew = this.#crew;
    this.#driver = new EngineDriver({
      broadcast: this.#broadcast,
      udp: this.#udp,
      drain: () => this.#drainOutputs(),
      ...(crew === undefined
        ? {}
        : {
            relay: {
              waits: () => this.#switchboard.mediaWaits,
              send: () => this.#switchboard.relayMedia(),
            },
          }),
    });
    this.#identity = identityWriter(target, this.#broadcast);
    crew?.listen((number, message) =>
      this.#run((now) => this.#switchboard.handleFollower(number, message, now)),
    );
    const sessions = this.#countSessions();
    this.#resumed = sessions > 0;
    const resume = keepsMedia ? 'auto' : 'strict';
    const first = restored === undefined;
    let contexts = media?.peers.length ?? 0;
    for (const one of found.values()) contexts += one.contexts;
    this.#audit.note('server-started', { sessions, contexts, resume, first });
    this.#log.info(
      {
        event: 'started',
        sessions,
        contexts,
        resume,
        ...(crew === undefined ? {} : { workers: found.size }),
      },
      restored === undefined ? 'first run' : 'resumed',
    );
  }

  /** Those that are not wanted any more, and have nobody, go. */
  async #resumeWorkers(instance: string): Promise<ReadonlyMap<number, FoundByWorker>> {
    const { workers, stateDir } = this.#config;
    const crew = this.#crew;
    const found = new Map(
      await crew?.resume(this.#broadcast.certificate, instance, this.#storage.keepsMedia),
    );
    for (const [number, { sessions }] of found) {
      if (number <= workers || sessions.length > 0) continue;
      found.delete(number);
      await crew?.dismiss(number, DISK_PATIENCE_MS);
      removeFolders(stateDir, this.#storage.runtimeDir, number);
    }
    this.#switchboard = new Switchboard(this.#broadcast, {
      followers: new Map([...found.keys()].map((number) => [number, { takesNew: number <= workers }])),
      relaysFor: this.#relaysFor,
      wall: wallNow,
    });
    for (const [number, { sessions }] of found) this.#switchboard.hasFound(number, sessions);
    return found;
  }

  /** Any port will do. */
  get #anyPort(): boolean {
    return this.#config.udpPort === 0 && this.#inherited.udp === undefined;
  }

  #lookAtCertificate(): void {
    const look = this.#certificates
      .check(this.#config.certMaxAge)
      .catch((error: unknown) =>
        this.#log.error(
          { event: 'certificate-not-replaced', err: error },
          'the certificate is older than CERT_MAX_AGE and could not be replaced: the old one stays in use',
        ),
      );
    void this.#desk.track(look);
  }

  async #firstIdentity(): Promise<Pick<IdentitySnapshot, 'certificate' | 'tokenKey'>> {
    const certificate = await createCertificate(secureRandom, wallNow());
    this.#audit.note('certificate-created', { sha256: describeCertificate(certificate).sha256 });
    return {
      certificate,
      tokenKey: Secret.random(32, secureRandom),
    };
  }

  #createBroadcast(
    { certificate, tokenKey }: Pick<IdentitySnapshot, 'certificate' | 'tokenKey'>,
    instance: string,
    restored: IdentitySnapshot | undefined,
    media: MediaSnapshot | undefined,
  ): Broadcast {
    const own = {
      ...(this.#crew === undefined ? {} : { place: 'leads' as const }),
      certificate,
      tokenKey,
      instance,
      candidates: candidateAddresses({ ...this.#config, host: this.#udp.host }, this.#udp.port),
      relaysFor: this.#relaysFor,
      maxSessionsPerOwner: this.#config.limits.sessionsPerAddress,
    };
    return openEngine(this.#config, own, this.#media, restored && { identity: restored, media });
  }

  /** Gives the time since when there are no keys but new ones, but for those whose pages are away or too slow. */
  async #renewKeys(isGivenUp: () => boolean): Promise<Millis> {
    const since = monotonicNow();
    this.#run((now) => this.#broadcast.rekeyAll(now));
    let others = this.#crew !== undefined;
    this.#crew?.renew(FRESH_PATIENCE).then(
      () => {
        others = false;
      },
      // It is being released.
      () => undefined,
    );
    const isOver = (): boolean =>
      isGivenUp() ||
      (this.#broadcast.isRekeyedSince(since) && !others) ||
      monotonicNow() > since + FRESH_PATIENCE;
    while (!isOver()) await elapsed(FRESH_CHECK_INTERVAL);
    return since;
  }

  /** To another server. */
  async #letGo(since: Millis | undefined): Promise<void> {
    if (since !== undefined) this.#broadcast.writeOnlySince(since);
    const released = this.#release(DISK_PATIENCE_MS, since !== undefined);
    // The next server does not wait for a line in a log.
    this.#shutdown = released.then(() => this.#closeAudit());
    await released;
    this.#handedOver.resolve();
  }

  /** A second one joins the first. */
  #beginDrain(): void {
    if (this.#drain.hasBegun) return;
    const { shutdownMaxWait } = this.#config;
    this.#ready = false;
    this.#broadcast.refuseNew();
    const sessions = this.#drain.begin(shutdownMaxWait);
    this.#log.info({ event: 'draining', sessions, maxWaitMs: shutdownMaxWait });
    this.#every(DRAIN_CHECK_INTERVAL, () => this.#drain.check());
  }

  #countSessions(): number {
    return this.#broadcast.sessionCount;
  }

  async #perform({ command }: Order): Promise<AdminResponse> {
    switch (command) {
      case 'drain':
        this.#beginDrain();
        return { ok: true, draining: this.#drain.progress() };
      case 'rekey': {
        const sessions = this.#countSessions();
        this.#audit.note('rekey-ordered', { sessions });
        this.#run((now) => this.#switchboard.rekeyAll(now));
        return { ok: true, sessions };
      }
      case 'certificate':
        return { ok: true, certificate: describeCertificate(await this.#certificates.replace()) };
      case 'reseal': {
        this.#resealing = true;
        try {
          await this.#reseal();
        } finally {
          this.#resealing = false;
        }
        return { ok: true, key: this.#storage.keys.primary().id };
      }
      case 'status': {
        const facts = await this.#facts();
        const { onAir: _, ...room } = facts.room;
        return {
          ok: true,
          ready: this.#ready,
          draining: this.#drain.progress(),
          sessions: this.#countSessions(),
          key: facts.key.id,
          certificate: describeCertificate(this.#broadcast.certificate),
          room: { ...this.#broadcast.roomStats, ...room },
          drops: facts.drops,
          facts,
        };
      }
    }
  }

  async #reseal(): Promise<void> {
    const { keys } = this.#storage;
    // A key source may take its time, which an end does not wait for.
    await unlessStopped(keys.reload(), this.#ending.signal);
    await this.#writeAnew();
    await this.#crew?.reseal();
    this.#audit.note('resealed', { key: keys.primary().id });
  }

  #writeAnew(change?: Partial<IdentitySnapshot>): Promise<void> {
    return writeAnew(this.#storage.store, this.#broadcast, this.#media, change);
  }

  /** On file first: what pages are shown is there after a kill. */
  async #replaceCertificate(certificate: CertificateRecord): Promise<void> {
    await this.#writeAnew({ certificate });
    // The next process shows it.
    if (this.#stopped) return;
    const identity = dtlsIdentity(certificate);
    this.#run((now) => this.#broadcast.replaceCertificate(certificate, identity, now));
    // A kill in between: the next server shows all of them its own.
    await this.#crew?.replaceCertificate(certificate);
  }

  async #facts(): Promise<ServerFacts> {
    const workers = this.#stopped ? undefined : await this.#crew?.facts();
    const own = this.#ownFacts();
    return workers === undefined ? own : sumFacts(own, workers);
  }

  #ownFacts(): ServerFacts {
    const { keys, writes, keepsMedia } = this.#storage;
    const drops = this.#broadcast.dropCounts;
    countUnder(drops, 'udp', this.#udp.drops);
    this.#front.countDrops(drops);
    if (this.#crew !== undefined) countUnder(drops, 'workers', this.#crew.drops);
    return serverFacts({
      ready: this.#ready,
      drain: this.#drain.facts(),
      broadcast: this.#broadcast.facts(monotonicNow()),
      drops,
      traffic: this.#udp.traffic,
      pages: this.#front.size,
      writes,
      keepsMedia,
      keys,
      resealing: this.#resealing,
      certificateCreatedAt: this.#broadcast.certificate.createdAt,
      eventLoop: this.#eventLoop,
    });
  }

  #run(mutate: (now: Millis) => void): void {
    this.#driver?.run(mutate);
  }

  #drainOutputs(): void {
    const switchboard = this.#switchboard;
    for (let output = switchboard.pollOutput(); output !== undefined; output = switchboard.pollOutput()) {
      switch (output.kind) {
        case 'post':
          this.#crew?.post(output.follower, output.message);
          break;
        case 'transmit':
          this.#udp.send(output.datagram, output.to);
          break;
        case 'message': {
          const { page, message } = output;
          if (output.afterWrite) this.#identity.afterWrite(() => this.#front.tell(page, message));
          else this.#front.tell(page, message);
          break;
        }
        case 'disconnect':
          this.#front.disconnect(output.page, output.code, output.reason);
          break;
        case 'identity-changed':
          this.#identity.request();
          break;
        case 'event':
          this.#log[levelOf(output.event)](
            output.follower === undefined ? output.event : { ...output.event, worker: output.follower },
          );
          this.#audit.handle(output.event);
          // A worker does it by itself.
          if (output.follower === undefined) collectOldKeys(output.event, this.#log);
          break;
      }
    }
  }

  #every(interval: Millis, work: () => void): void {
    this.#intervals.push(setInterval(work, interval));
  }
}

/** Most events are how it should be. */
function levelOf({ event }: BroadcastEvent): 'info' | 'warn' | 'error' {
  if (event === 'protect-failed') return 'error';
  return event === 'handshake-failed' ? 'warn' : 'info';
}

/** Both or none: where one is taken, the other is let go. */
async function bindBoth(udp: Promise<UdpSocket>, front: Promise<Front>): Promise<[UdpSocket, Front]> {
  const [first, second] = await Promise.allSettled([udp, front]);
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return [first.value, second.value];
  if (first.status === 'fulfilled') first.value.close();
  if (second.status === 'fulfilled') second.value.close();
  throw [first, second].find((result) => result.status === 'rejected')?.reason;
}
