import type { CameraProblem } from './facts.ts';
import type { PageInput } from './io.ts';

/** Which devices, by the ids that the browser has given them; the browser's own choice where nothing is said. */
export interface Devices {
  readonly camera?: string;
  readonly microphone?: string;
}

/** How the picture is to be; what is not said is left to the browser, around 720p and 30 frames a second. */
export interface PictureWish {
  /** Lines. */
  readonly height?: number;
  /** Frames a second. */
  readonly frameRate?: number;
}

/** What a visitor may have turned off. */
export type Silenced = 'audio' | 'video';

/** What is being sent. */
export interface Capture {
  readonly camera: 'none' | 'on' | 'off';
  readonly microphone: 'none' | 'on' | 'off';
  /** The screen is shown in the place of the camera. */
  readonly screen: boolean;
  /** Ids of what is in use. */
  readonly devices: Devices;
}

const AUDIO: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};
const NOTHING: Capture = { camera: 'none', microphone: 'none', screen: false, devices: {} };
const WIDTH_PER_HEIGHT = 16 / 9;
/** Reading text takes lines; a screen that does not move costs little. */
const SCREEN_HEIGHT = 1080;

/**
 * Camera, microphone and screen. What is sent is one stream at a time, which outlives every connection that it is sent on; a change of
 * devices makes another stream of other tracks.
 */
export class Camera {
  readonly #emit: (input: PageInput) => void;
  readonly #changed: () => void;
  #devices: Devices;
  #wish: PictureWish = {};
  #given: MediaStream | undefined;
  #video: MediaStreamTrack | undefined;
  #audio: MediaStreamTrack | undefined;
  #screen: MediaStreamTrack | undefined;
  #stream: MediaStream | undefined;
  #capture: Capture = NOTHING;
  /** Counts the openings: a permission that is given after the camera was closed again opens nothing. */
  #opening = 0;
  /** Changes of devices wait for one another: what two of them opened at once, only one would end. */
  #changing: Promise<unknown> = Promise.resolve();
  /** Is off when it is opened, which nobody has asked for: until the first opening. */
  #silenced: readonly Silenced[];

  /**
   * @param changed there is another stream to be sent, or it is sent otherwise
   * @param silenced what was off when the page was loaded again
   */
  constructor(
    emit: (input: PageInput) => void,
    changed: () => void,
    devices: Devices = {},
    silenced: readonly Silenced[] = [],
  ) {
    this.#emit = emit;
    this.#changed = changed;
    this.#devices = devices;
    this.#silenced = silenced;
  }

  get stream(): MediaStream | undefined {
    return this.#stream;
  }

  get capture(): Capture {
    return this.#capture;
  }

  /** What is off, or will be when it is opened. */
  get silenced(): readonly Silenced[] {
    if (this.#stream === undefined) return this.#silenced;
    return (['audio', 'video'] as const).filter((kind) => this.#trackOf(kind)?.enabled === false);
  }

  /** The next opening takes this stream, and whoever gave it leaves its end to this class. */
  give(stream: MediaStream): void {
    this.takeBack();
    this.#given = stream;
  }

  /** Ends a stream that was given and that nobody has opened. */
  takeBack(): void {
    if (this.#given !== undefined) stopStream(this.#given);
    this.#given = undefined;
  }

  async open(): Promise<void> {
    const opening = ++this.#opening;
    const given = this.#given;
    this.#given = undefined;
    try {
      const stream = given ?? (await openDevices(this.#devices, this.#wish));
      // Also where it was given: whoever opens is not called back from within.
      await undefined;
      if (opening !== this.#opening) return stopStream(stream);
      const silenced = given === undefined ? this.#silenced : [];
      this.#silenced = [];
      for (const track of stream.getTracks())
        if (silenced.some((kind) => kind === track.kind)) track.enabled = false;
      this.#take(stream);
      this.#emit({ kind: 'cameraReady' });
    } catch (error) {
      if (opening === this.#opening) this.#emit({ kind: 'cameraGone', problem: cameraProblemOf(error) });
    }
  }

  close(): void {
    this.#opening++;
    // One that still waits for a permission ends what it opens, and nobody waits for it.
    this.#changing = Promise.resolve();
    stopTracks([this.#video, this.#audio, this.#screen]);
    this.#video = undefined;
    this.#audio = undefined;
    this.#screen = undefined;
    this.#stream = undefined;
    this.#capture = NOTHING;
  }

  /** Sends from other devices. What cannot be opened is said, and the ones before go on. */
  use(devices: Devices): Promise<CameraProblem | undefined> {
    const changed = this.#changing.then(() => this.#use(devices));
    this.#changing = changed.catch(() => undefined);
    return changed;
  }

  /** The devices stay open: what is sent meanwhile is silence, and black. */
  enable(kind: Silenced, on: boolean): void {
    const track = this.#trackOf(kind);
    if (track === undefined) return;
    track.enabled = on;
    this.#describe();
    this.#changed();
  }

  /** Asks for a screen or a window and shows it in the place of the camera. `undefined` too where the visitor changed their mind. */
  async share(): Promise<CameraProblem | undefined> {
    // Without a picture the connection has no place for one.
    if (this.#video === undefined || this.#screen !== undefined) return undefined;
    const opening = this.#opening;
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: screenWish(this.#wish) });
      const [track] = stream.getVideoTracks();
      const isTooLate = opening !== this.#opening || this.#screen !== undefined;
      if (track === undefined || isTooLate) return stopStream(stream);
      track.contentHint = 'detail';
      // The browser has a stop button of its own.
      track.onended = () => this.unshare();
      this.#screen = track;
      this.#send();
      return undefined;
    } catch (error) {
      const problem = cameraProblemOf(error);
      return problem === 'camera-denied' ? undefined : problem;
    }
  }

  unshare(): void {
    if (this.#screen === undefined) return;
    stopTracks([this.#screen]);
    this.#screen = undefined;
    this.#send();
  }

  /** For now and for what is opened later. */
  async setPicture(wish: PictureWish): Promise<void> {
    this.#wish = wish;
    // A device that cannot is left as it is.
    await Promise.allSettled([
      this.#video?.applyConstraints(cameraWish(wish)),
      this.#screen?.applyConstraints(screenWish(wish)),
    ]);
  }

  #trackOf(kind: Silenced): MediaStreamTrack | undefined {
    return kind === 'audio' ? this.#audio : this.#video;
  }

  #take(stream: MediaStream): void {
    this.#video = stream.getVideoTracks()[0];
    this.#audio = stream.getAudioTracks()[0];
    this.#devices = { ...this.#devices, ...idOf('camera', this.#video), ...idOf('microphone', this.#audio) };
    for (const track of stream.getTracks()) this.#watch(track);
    this.#send();
  }

  /** Fires when the device goes away, not when the page stops the track. */
  #watch(track: MediaStreamTrack): void {
    track.onended = () => this.#emit({ kind: 'cameraGone', problem: 'camera-lost' });
  }

  #send(): void {
    const tracks = [this.#screen ?? this.#video, this.#audio].filter((track) => track !== undefined);
    this.#stream = new MediaStream(tracks);
    this.#describe();
    this.#changed();
  }

  #describe(): void {
    this.#capture = {
      camera: stateOf(this.#video),
      microphone: stateOf(this.#audio),
      screen: this.#screen !== undefined,
      devices: { ...idOf('camera', this.#video), ...idOf('microphone', this.#audio) },
    };
  }

  async #use(devices: Devices): Promise<CameraProblem | undefined> {
    const { camera, microphone } = devices;
    const before = this.capture.devices;
    try {
      if (camera !== undefined && camera !== before.camera) await this.#exchange('video', camera);
      if (microphone !== undefined && microphone !== before.microphone)
        await this.#exchange('audio', microphone);
      return undefined;
    } catch (error) {
      const gone = [this.#video, this.#audio].some((track) => track?.readyState === 'ended');
      if (gone) this.#emit({ kind: 'cameraGone', problem: 'camera-lost' });
      return cameraProblemOf(error);
    }
  }

  async #exchange(kind: 'audio' | 'video', id: string): Promise<void> {
    const before = this.#trackOf(kind);
    // What is not sent yet has no place in the connection.
    if (before === undefined) return;
    const opening = this.#opening;
    const { track, error } = await this.#openBeside(kind, id, before);
    if (opening !== this.#opening) return stopTracks([track]);
    track.enabled = before.enabled;
    stopTracks([before]);
    this.#watch(track);
    if (kind === 'video') this.#video = track;
    else this.#audio = track;
    this.#devices = { ...this.#devices, ...idOf(kind === 'video' ? 'camera' : 'microphone', track) };
    this.#send();
    if (error !== undefined) throw error;
  }

  /** Phones have one camera open at a time: there the old one is closed first, and opened again where the new one cannot be. */
  async #openBeside(
    kind: 'audio' | 'video',
    id: string,
    before: MediaStreamTrack,
  ): Promise<{ readonly track: MediaStreamTrack; readonly error?: unknown }> {
    try {
      return { track: await openDevice(kind, id, this.#wish) };
    } catch (error) {
      if (cameraProblemOf(error) !== 'camera-in-use') throw error;
    }
    const { deviceId = '' } = before.getSettings();
    stopTracks([before]);
    try {
      return { track: await openDevice(kind, id, this.#wish) };
    } catch (error) {
      return { track: await openDevice(kind, deviceId, this.#wish), error };
    }
  }
}

/** Camera and microphone, or the one of them that exists; any where the ones wished for are gone. Throws what `getUserMedia` throws. */
export async function openDevices(devices: Devices, wish: PictureWish = {}): Promise<MediaStream> {
  // Browsers leave `mediaDevices` out of pages that came over plain http from another host.
  if (navigator.mediaDevices === undefined) throw new DOMException('no media devices', 'SecurityError');
  const video = { ...cameraWish(wish), ...exactly(devices.camera) };
  const audio = { ...AUDIO, ...exactly(devices.microphone) };
  const wishes: MediaStreamConstraints[] = [{ video, audio }, { video }, { audio }];
  for (const wished of wishes) {
    try {
      return await navigator.mediaDevices.getUserMedia(wished);
    } catch (error) {
      const isGone = nameOf(error) === 'OverconstrainedError';
      if (isGone && (devices.camera ?? devices.microphone) !== undefined) return await openDevices({}, wish);
      if (nameOf(error) !== 'NotFoundError') throw error;
    }
  }
  throw new DOMException('neither camera nor microphone', 'NotFoundError');
}

export function cameraProblemOf(error: unknown): CameraProblem {
  switch (nameOf(error)) {
    case 'NotAllowedError':
      return 'camera-denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'camera-missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'camera-in-use';
    case 'SecurityError':
      return 'camera-insecure';
    default:
      return 'camera-failed';
  }
}

async function openDevice(kind: 'audio' | 'video', id: string, wish: PictureWish): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getUserMedia(
    kind === 'video'
      ? { video: { ...cameraWish(wish), ...exactly(id) } }
      : { audio: { ...AUDIO, ...exactly(id) } },
  );
  const [track] = stream.getTracks();
  if (track === undefined) throw new DOMException('no track', 'NotFoundError');
  return track;
}

/** A wish that is not `exact` may lose against the wished-for size. */
const exactly = (id: string | undefined): MediaTrackConstraints =>
  id === undefined ? {} : { deviceId: { exact: id } };

function cameraWish({ height = 720, frameRate = 30 }: PictureWish): MediaTrackConstraints {
  return {
    width: { ideal: Math.round(height * WIDTH_PER_HEIGHT) },
    height: { ideal: height },
    frameRate: { ideal: frameRate },
  };
}

function screenWish({ height = SCREEN_HEIGHT, frameRate = 30 }: PictureWish): MediaTrackConstraints {
  return {
    width: { max: Math.round(height * WIDTH_PER_HEIGHT) },
    height: { max: height },
    frameRate: { ideal: frameRate },
  };
}

function stateOf(track: MediaStreamTrack | undefined): 'none' | 'on' | 'off' {
  if (track === undefined) return 'none';
  return track.enabled ? 'on' : 'off';
}

function idOf(name: keyof Devices, track: MediaStreamTrack | undefined): Devices {
  const id = track?.getSettings().deviceId;
  return id === undefined ? {} : { [name]: id };
}

export function stopStream(stream: MediaStream): undefined {
  stopTracks(stream.getTracks());
}

function stopTracks(tracks: readonly (MediaStreamTrack | undefined)[]): void {
  for (const track of tracks) {
    if (track === undefined) continue;
    track.onended = null;
    track.stop();
  }
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');
