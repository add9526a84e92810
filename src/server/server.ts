/**
 * The engine in the world: sockets, files, clocks.
 *
 *   1. bind both ports (they are the lock: who has not got them touches no snapshot)
 *   2. read the identity, take the media snapshot
 *   3. answer what has waited on UDP, forward media on stale contexts, speak first to every persisted address
 *   4. HTTP and WebSocket
 *   5. write a fresh snapshot
 */
import { randomUUID } from 'node:crypto';
import type { Config } from '../config.ts';
import { candidateAddresses } from '../config.ts';
import { type AdminRequest, type AdminResponse, adminSocketPath } from '../keyring/admin-protocol.ts';
import type { Logger } from '../log.ts';
import { AdminSocket } from '../signaling/admin.ts';
import { HttpPort, type RequestHandler } from '../signaling/http.ts';
import type { PageSockets } from '../signaling/ws.ts';
import { announceServer } from '../snapshot/run-file.ts';
import type { IdentitySnapshot, MediaSnapshot } from '../snapshot/schema.ts';
import { UdpSocket } from '../transport/socket.ts';
import { type Millis, monotonicNow, wallNow } from '../util/clock.ts';
import { collectSoon } from '../util/collect.ts';
import { countUnder } from '../util/counters.ts';
import { secureRandom } from '../util/rng.ts';
import { Secret } from '../util/secret.ts';
import { Broadcast } from './broadcast.ts';
import { createCertificate, signingKey } from './certificate.ts';
import { IdentityWriter } from './identity-writer.ts';
import { openStorage, type Storage } from './storage.ts';

/** How often index limits are raised ahead of use; a crash skips at most what was reserved in two of these. */
const MEDIA_WRITE_INTERVAL: Millis = 200;
/** How often the durable snapshot learns how far the room's numbering has come. */
const IDENTITY_REFRESH_INTERVAL: Millis = 10_000;
/** Where the page lies, seen from the built program in `dist/`. */
const PUBLIC = new URL('../public/', import.meta.url);

export interface RunningServer {
  readonly port: number;
  readonly udpPort: number;
  /** Writes both snapshots a last time, tells the pages and closes. */
  shutdown(): Promise<void>;
}

/** Throws `PORT_IN_USE`, `KEY_*`, `STATE_IN_USE`, `STATE_UNWRITABLE` or `SEALED_FILE_INVALID`; nothing has been lost then. */
export async function startServer(config: Config, log: Logger): Promise<RunningServer> {
  const server = new Server(config, log);
  await server.start();
  return server;
}

class Server implements RunningServer {
  readonly #config: Config;
  readonly #log: Logger;
  #udp!: UdpSocket;
  #http!: HttpPort;
  #broadcast!: Broadcast;
  #storage!: Storage;
  #identity!: IdentityWriter;
  #admin: AdminSocket | undefined;
  #announced: { withdraw(): void } | undefined;
  #mediaFailed = false;
  /** Absent until the media flows. */
  #pages: PageSockets | undefined;
  #ready = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Millis | undefined;
  readonly #intervals: NodeJS.Timeout[] = [];

  constructor(config: Config, log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  get port(): number {
    return this.#http.port;
  }

  get udpPort(): number {
    return this.#udp.port;
  }

  async start(): Promise<void> {
    const { host, port, udpPort } = this.#config;
    const site = deferred<RequestHandler>();
    [this.#udp, this.#http] = await bindBoth(
      UdpSocket.bind(host, udpPort),
      HttpPort.bind(host, port, site.promise, (request, socket, head) => {
        if (this.#pages === undefined) socket.destroy();
        else this.#pages.upgrade(request, socket, head);
      }),
    );
    try {
      await this.#resume();
      this.#udp.receive((datagram, from) =>
        this.#run((now) => this.#broadcast.handleDatagram(datagram, from, now)),
      );
      this.#run((now) => this.#broadcast.handleTimeout(now));
      site.resolve(await this.#openFront());
      await this.#openAdmin();
    } catch (error) {
      // Nothing may be left that keeps the process, and with it the ports.
      this.#stop();
      this.#udp.close();
      this.#http.close();
      throw error;
    }
    this.#ready = true;
    this.#identity.request();
    this.#every(MEDIA_WRITE_INTERVAL, () => {
      this.#broadcast.adjustWall(wallNow() - monotonicNow());
      this.#broadcast.refreshMedia(monotonicNow());
    });
    this.#every(IDENTITY_REFRESH_INTERVAL, () => this.#identity.request());
  }

  async shutdown(): Promise<void> {
    this.#stop();
    this.#udp.receive(() => undefined);
    // RFC 6455 §7.4.1 and its registry: 1012 is "service restart"; the pages come back by themselves.
    this.#pages?.close(1012, 'restart');
    this.#broadcast.refreshMedia(monotonicNow());
    await this.#identity.flush();
    this.#announced?.withdraw();
    this.#admin?.close();
    this.#udp.close();
    this.#http.close();
    this.#broadcast.close();
  }

  /** The page and its WebSocket come after the media: their libraries take longer to load than the first packet to leave. */
  async #openFront(): Promise<RequestHandler> {
    const [{ createSite }, { PageSockets }] = await Promise.all([
      import('../signaling/site.ts'),
      import('../signaling/ws.ts'),
    ]);
    this.#pages = new PageSockets({
      opened: (page, token, position) =>
        this.#run((now) => this.#broadcast.openPage(page.id, token, position, now)),
      message: (page, message) => this.#run((now) => this.#broadcast.handleMessage(page.id, message, now)),
      closed: (page) => this.#run((now) => this.#broadcast.closePage(page.id, now)),
    });
    return createSite(PUBLIC, () => this.#ready);
  }

  /** No more work of its own accord. */
  #stop(): void {
    this.#ready = false;
    this.#stopped = true;
    for (const interval of this.#intervals) clearInterval(interval);
    clearTimeout(this.#timer);
  }

  async #openAdmin(): Promise<void> {
    const { stateDir } = this.#config;
    const { runtimeDir } = this.#storage;
    const adminSocket = adminSocketPath(stateDir, runtimeDir);
    this.#admin = await AdminSocket.listen(adminSocket, (request) => this.#handleAdmin(request));
    this.#announced = announceServer(stateDir, { adminSocket, runtimeDir });
  }

  async #resume(): Promise<void> {
    this.#storage = await openStorage(this.#config, this.#log);
    const { store, keepsMedia } = this.#storage;
    const restored = await store.readIdentity();
    if (restored === undefined) store.dropMedia();
    const media = await store.takeMedia();
    this.#broadcast = this.#createBroadcast(restored ?? (await this.#firstIdentity()), restored, media);
    this.#identity = new IdentityWriter(
      () => store.writeIdentity(this.#broadcast.captureIdentity()),
      (error) =>
        this.#log.error(
          { event: 'identity-not-written', err: error },
          'sessions that are new since the last write would not survive a crash',
        ),
    );
    const sessions = [...this.#broadcast.sessions].length;
    const resume = keepsMedia ? 'auto' : 'strict';
    this.#log.info(
      { event: 'started', sessions, contexts: media?.peers.length ?? 0, resume },
      restored === undefined ? 'first run' : 'resumed',
    );
  }

  async #firstIdentity(): Promise<Pick<IdentitySnapshot, 'certificate' | 'tokenKey'>> {
    return {
      certificate: await createCertificate(secureRandom, wallNow()),
      tokenKey: Secret.random(32, secureRandom),
    };
  }

  #createBroadcast(
    { certificate, tokenKey }: Pick<IdentitySnapshot, 'certificate' | 'tokenKey'>,
    restored: IdentitySnapshot | undefined,
    media: MediaSnapshot | undefined,
  ): Broadcast {
    const now = monotonicNow();
    return new Broadcast(
      {
        certificate,
        identity: { certificate: certificate.certificate, privateKey: signingKey(certificate) },
        tokenKey,
        instance: randomUUID(),
        rng: secureRandom,
        candidates: candidateAddresses(this.#config, this.#udp.port),
        videoCodecs: this.#config.videoCodecs,
        srtpProfiles: this.#config.srtpProfiles,
        staleKeyTtl: this.#config.staleKeyTtl,
        sessionTtl: this.#config.sessionTtl,
        rekeyInterval: this.#config.rekeyInterval,
        mediaTtl: this.#config.mediaTtl,
        wallOffset: wallNow() - now,
        ...(this.#storage.keepsMedia
          ? { persistMedia: (snapshot: MediaSnapshot) => this.#persistMedia(snapshot) }
          : {}),
      },
      now,
      restored === undefined ? undefined : { identity: restored, media },
    );
  }

  /** Where it cannot be written any more (a full tmpfs) there is none: a resume is then by re-key alone, and viewers go on watching. */
  #persistMedia(snapshot: MediaSnapshot): boolean {
    if (this.#mediaFailed) return false;
    try {
      this.#storage.store.writeMedia(snapshot);
      return true;
    } catch (error) {
      // Throws where the old file cannot be removed either: to go on would be to use indices that a resume would use again.
      this.#storage.store.dropMedia();
      this.#mediaFailed = true;
      this.#log.error(
        { event: 'media-not-written', err: error },
        'no media context is written any more: viewers would resume by re-key alone',
      );
      return false;
    }
  }

  async #handleAdmin({ command }: AdminRequest): Promise<AdminResponse> {
    switch (command) {
      case 'rekey':
        this.#run((now) => this.#broadcast.rekeyAll(now));
        return { ok: true, sessions: [...this.#broadcast.sessions].length };
      case 'reseal': {
        const media =
          this.#mediaFailed || !this.#storage.keepsMedia ? undefined : this.#broadcast.captureMedia();
        await this.#storage.store.reseal(this.#broadcast.captureIdentity(), media);
        if (media !== undefined) this.#broadcast.granted(media);
        return { ok: true, key: this.#storage.keys.primary().id };
      }
      case 'status': {
        const drops = this.#broadcast.dropCounts;
        countUnder(drops, 'udp', this.#udp.drops);
        return {
          ok: true,
          sessions: [...this.#broadcast.sessions].length,
          key: this.#storage.keys.primary().id,
          room: this.#broadcast.roomStats,
          drops: drops.toJSON(),
        };
      }
    }
  }

  /** One mutation, then everything that follows from it. */
  #run(mutate: (now: Millis) => void): void {
    mutate(monotonicNow());
    this.#drain();
  }

  #drain(): void {
    for (
      let output = this.#broadcast.pollOutput();
      output !== undefined;
      output = this.#broadcast.pollOutput()
    ) {
      switch (output.kind) {
        case 'transmit':
          this.#udp.send(output.datagram, output.to);
          break;
        case 'message': {
          const { page, message } = output;
          if (output.afterWrite) this.#identity.afterWrite(() => this.#pages?.page(page)?.send(message));
          else this.#pages?.page(page)?.send(message);
          break;
        }
        case 'disconnect':
          this.#pages?.page(output.page)?.close(output.code, output.reason);
          break;
        case 'identity-changed':
          this.#identity.request();
          break;
        case 'event':
          this.#log.info(output.event);
          if (output.event.event === 'stale-keys-destroyed' || output.event.event === 'keyed') collectSoon();
          break;
      }
    }
    this.#arm();
  }

  #arm(): void {
    if (this.#stopped) return;
    const at = this.#broadcast.nextTimeout();
    if (at === this.#timerAt && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer =
      at === undefined
        ? undefined
        : setTimeout(
            () => {
              this.#timer = undefined;
              this.#run((now) => this.#broadcast.handleTimeout(now));
            },
            Math.max(0, Math.min(at - monotonicNow(), 2 ** 31 - 1)),
          );
  }

  #every(interval: Millis, work: () => void): void {
    this.#intervals.push(setInterval(work, interval));
  }
}

/** Both or none: where one is taken, the other is let go. */
async function bindBoth(udp: Promise<UdpSocket>, http: Promise<HttpPort>): Promise<[UdpSocket, HttpPort]> {
  const [first, second] = await Promise.allSettled([udp, http]);
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return [first.value, second.value];
  if (first.status === 'fulfilled') first.value.close();
  if (second.status === 'fulfilled') second.value.close();
  throw [first, second].find((result) => result.status === 'rejected')?.reason;
}

function deferred<Value>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((keep) => {
    resolve = keep;
  });
  return { promise, resolve };
}
