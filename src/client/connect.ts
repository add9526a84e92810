import type { DemoAction } from '../signaling/protocol.ts';
import { LONGEST_TIMER_MS, monotonicNow } from '../util/clock.ts';
import { Camera, type Capture, type Devices, type PictureWish } from './camera.ts';
import { detectCapabilities } from './capabilities.ts';
import type { ContinuityReading } from './continuity.ts';
import type { CameraProblem, Facts } from './facts.ts';
import type { PageInput, PageOutput } from './io.ts';
import { Page } from './page.ts';
import { Peers } from './peers.ts';
import { Place } from './place.ts';
import { Socket } from './socket.ts';
import { Stage } from './stage.ts';
import { tryRekeyInPlace } from './trial.ts';

/** What {@link connect} is told. */
export interface ConnectOptions {
  /**
   * Where the server is; by default, where the page comes from. A page of another origin speaks to a server that has it in PUBLIC_ORIGIN, and to no
   * other.
   */
  readonly url?: string | URL;
  /** `viewer`: never takes the camera by itself, and leaves the broadcast to others until {@link Visit.broadcast} is called. */
  readonly role?: 'any' | 'viewer';
  /**
   * A reload of the page keeps its place and its role, and a microphone or camera that is off; true where nothing is said. The resume token lies in
   * `sessionStorage` for as long as no page is loaded.
   */
  readonly keepPlace?: boolean;
  /** What lets the page in, where the server asks for it. */
  readonly token?: string;
  /**
   * Two videos, one over the other, of which the one with the class `front` is to be seen: a new connection starts behind and comes to the front with
   * its first frame. Without them `onStream` gives the stream to be shown, and a change of connections may be seen.
   */
  readonly videos?: readonly [HTMLVideoElement, HTMLVideoElement];
  /** What to open when the page is to broadcast; the browser's own choice by default. */
  readonly devices?: Devices;
  /** The broadcast, or one's own camera, when there is another stream than before; one stream outlives restarts and re-keys in place. */
  readonly onStream?: (stream: MediaStream) => void;
  /** Something has changed, or may have: everything that is known now. */
  readonly onChange?: (state: VisitState) => void;
}

/** What is known of a visit. */
export interface VisitState extends Facts {
  /** The broadcast is heard. Always false without `videos`. */
  readonly sound: boolean;
  /** 0 to 1, of the videos. */
  readonly volume: number;
  /** What this page sends, where it broadcasts. */
  readonly capture: Capture;
}

/** A visit of a broadcast, from {@link connect} to {@link Visit.close}. Nothing in it throws: what goes wrong is in its state. */
export interface Visit {
  readonly state: VisitState;
  /** What restarts have cost, and what of the server's identity and of new keys this browser has seen itself. */
  readonly continuity: ContinuityReading;
  /**
   * Asks for the camera, and then for the broadcast. Does nothing where this page broadcasts.
   * @param stream what to broadcast in the place of what the camera would give; the visit ends its tracks
   */
  broadcast(stream?: MediaStream): void;
  /** Stops broadcasting, and goes on as a viewer. */
  stop(): void;
  /** Comes in with this token, or with another one than before. */
  enter(token: string): void;
  /** Presses a button of the demonstration: one of `state.demo`. */
  demonstrate(action: DemoAction): void;
  /** Sound of the videos on or off; browsers want a click before. */
  toggleSound(): void;
  /** @param volume 0 to 1 */
  setVolume(volume: number): void;
  /** Broadcasts from other devices, on the same connection. Says what kept it from that; the ones before go on then. */
  use(devices: Devices): Promise<CameraProblem | undefined>;
  /** While the microphone is off, viewers hear nothing. */
  setMicrophone(on: boolean): void;
  /** While the camera is off, viewers see black. */
  setCamera(on: boolean): void;
  /** Shows the screen in the place of the camera, or the camera again. */
  shareScreen(on: boolean): Promise<CameraProblem | undefined>;
  /** How fine the picture is that this page sends, now or later. */
  setPicture(wish: PictureWish): Promise<void>;
  /** What the browser counts of the connection in use. */
  statistics(): Promise<RTCStatsReport | undefined>;
  /** Leaves: the session is over, and the camera is off. */
  close(): void;
}

/**
 * Visits a broadcast: signaling, connections, camera. Restarts of the server, lost networks and new keys are its own affair; it comes back until the
 * server says that it is over or {@link Visit.close} is called.
 */
export function connect(options: ConnectOptions = {}): Visit {
  return new RunningVisit(options);
}

/** Well after the first picture. */
const IDLE_AFTER_MS = 3_000;

/** Safari does not say when it is idle. */
function whenIdle(run: () => void): void {
  if (globalThis.requestIdleCallback === undefined) setTimeout(run, IDLE_AFTER_MS);
  else requestIdleCallback(run);
}

/** What the page throws there is an error of its own, and is reported as one: the visit goes on. */
function callBack(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

class RunningVisit implements Visit {
  readonly #options: ConnectOptions;
  readonly #page: Page;
  readonly #socket: Socket;
  readonly #peers: Peers;
  readonly #camera: Camera;
  readonly #place: Place | undefined;
  readonly #stage: Stage | undefined;
  readonly #listeners = new AbortController();
  #isOver = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown: number | undefined;

  constructor(options: ConnectOptions) {
    const handle = (input: PageInput): void => this.#handle(input);
    const { url = location.href, role = 'any', keepPlace = true, token, videos, devices } = options;
    const server = new URL(url, location.href);
    this.#options = options;
    this.#place = keepPlace ? new Place(() => sessionStorage, server.origin) : undefined;
    this.#page = new Page({
      ...detectCapabilities(),
      role,
      token: this.#place?.take(),
      jitter: Math.random,
    });
    this.#socket = new Socket(handle, server);
    this.#peers = new Peers(handle, server.hostname);
    this.#camera = new Camera(handle, () => this.#cameraChanged(), devices, this.#place?.takeSilenced());
    this.#stage = videos && new Stage(...videos, handle);
    this.#listen();
    if (token !== undefined) this.enter(token);
    this.#handle({ kind: 'start' });
  }

  get state(): VisitState {
    return {
      ...this.#page.facts(),
      sound: this.#stage?.sound ?? false,
      volume: this.#stage?.volume ?? 1,
      capture: this.#camera.capture,
    };
  }

  get continuity(): ContinuityReading {
    return this.#page.continuity;
  }

  broadcast(stream?: MediaStream): void {
    if (stream !== undefined) this.#camera.give(stream);
    this.#handle({ kind: 'press', button: 'broadcast' });
    // The page may have had no use for it.
    this.#camera.takeBack();
  }

  stop(): void {
    this.#handle({ kind: 'press', button: 'stop' });
  }

  enter(token: string): void {
    this.#handle({ kind: 'token', token });
  }

  demonstrate(action: DemoAction): void {
    this.#handle({ kind: 'demonstrate', action });
  }

  toggleSound(): void {
    this.#stage?.toggleSound();
    this.#tell();
  }

  setVolume(volume: number): void {
    this.#stage?.setVolume(volume);
    this.#tell();
  }

  use(devices: Devices): Promise<CameraProblem | undefined> {
    return this.#camera.use(devices);
  }

  setMicrophone(on: boolean): void {
    this.#camera.enable('audio', on);
  }

  setCamera(on: boolean): void {
    this.#camera.enable('video', on);
  }

  async shareScreen(on: boolean): Promise<CameraProblem | undefined> {
    if (on) return await this.#camera.share();
    this.#camera.unshare();
    return undefined;
  }

  setPicture(wish: PictureWish): Promise<void> {
    return this.#camera.setPicture(wish);
  }

  statistics(): Promise<RTCStatsReport | undefined> {
    return this.#peers.statistics(this.#shown);
  }

  close(): void {
    if (this.#isOver) return;
    // Whoever is called back for this may close again.
    this.#isOver = true;
    this.#handle({ kind: 'leaving' });
    this.#listeners.abort();
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#closeCamera();
    for (const peer of this.#peers.all()) this.#closePeer(peer);
    this.#stage?.clear();
  }

  #listen(): void {
    const { signal } = this.#listeners;
    const wake = (): void => this.#handle({ kind: 'wake' });
    addEventListener('online', wake, { signal });
    // Chromium says also which network it is now; others do not.
    (navigator as { connection?: EventTarget }).connection?.addEventListener('change', wake, { signal });
    const look = (): void => {
      this.#handle({ kind: 'visibility', hidden: document.hidden });
      if (!document.hidden) wake();
    };
    document.addEventListener('visibilitychange', look, { signal });
    const going = this.#place === undefined ? 'leaving' : 'away';
    addEventListener('pagehide', () => this.#handle({ kind: going }), { signal });
  }

  #handle(input: PageInput): void {
    if (this.#listeners.signal.aborted) return;
    this.#page.handle(input, monotonicNow());
    this.#drain();
  }

  #drain(): void {
    for (let output = this.#page.pollOutput(); output !== undefined; output = this.#page.pollOutput())
      this.#perform(output);
    clearTimeout(this.#timer);
    const due = this.#isOver ? undefined : this.#page.nextTimeout();
    if (due !== undefined) {
      const delay = Math.min(Math.max(0, due - monotonicNow()), LONGEST_TIMER_MS);
      this.#timer = setTimeout(() => {
        this.#page.handleTimeout(monotonicNow());
        this.#drain();
      }, delay);
    }
    // Last: whoever is told may call us again.
    this.#tell();
  }

  #tell(): void {
    callBack(() => this.#options.onChange?.(this.state));
  }

  #perform(output: PageOutput): void {
    switch (output.kind) {
      case 'probe':
        this.#socket.probe(output.attempt);
        break;
      case 'openSocket':
        this.#socket.open(output.attempt, output.protocols);
        break;
      case 'closeSocket':
        this.#socket.close();
        break;
      case 'send':
        this.#socket.send(output.message);
        break;
      case 'keepPlace':
        this.#place?.keep(output.token, this.#camera.silenced);
        break;
      case 'useRelays':
        this.#peers.useRelays(output.servers);
        break;
      case 'apply':
        this.#peers.apply(output, this.#camera.stream);
        if (output.create && output.role === 'viewer') this.#prepare(output.peer);
        break;
      case 'show':
        this.#show(output.peer);
        break;
      case 'closePeer':
        this.#closePeer(output.peer);
        break;
      case 'readCertificate':
        void this.#peers.readCertificate(output.peer);
        break;
      case 'tryRekey':
        whenIdle(() => void this.#tryRekey());
        break;
      case 'openCamera':
        void this.#camera.open();
        break;
      case 'closeCamera':
        this.#closeCamera();
    }
  }

  async #tryRekey(): Promise<void> {
    if (this.#listeners.signal.aborted) return;
    this.#handle({ kind: 'tried', rekeyInPlace: await tryRekeyInPlace() });
  }

  #prepare(peer: number): void {
    const stream = this.#peers.streamOf(peer);
    if (stream !== undefined) this.#stage?.prepare(peer, stream);
  }

  /** A broadcaster sees its own camera, which is the same stream on every connection. */
  #show(peer: number | undefined): void {
    this.#shown = peer;
    if (peer === undefined) return;
    const camera = this.#page.facts().role === 'broadcaster' ? this.#camera.stream : undefined;
    const stream = camera ?? this.#peers.streamOf(peer);
    if (stream === undefined) return;
    this.#stage?.show(camera === undefined ? peer : undefined, stream);
    callBack(() => this.#options.onStream?.(stream));
  }

  #closePeer(peer: number): void {
    const stream = this.#peers.streamOf(peer);
    if (stream !== undefined) this.#stage?.remove(stream);
    this.#peers.close(peer);
  }

  #closeCamera(): void {
    if (this.#camera.stream !== undefined) this.#stage?.removeOwn();
    this.#camera.close();
  }

  /** No offer is needed for another track of the same kind, and nobody's connection notices. */
  #cameraChanged(): void {
    const { stream } = this.#camera;
    if (stream === undefined) return;
    this.#peers.changeCamera(stream);
    if (this.#page.facts().role === 'broadcaster' && this.#shown !== undefined) {
      this.#stage?.follow(stream);
      callBack(() => this.#options.onStream?.(stream));
    }
    this.#tell();
  }
}
