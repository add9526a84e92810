import type { CameraProblem } from './facts.ts';
import type { PageInput } from './io.ts';

const VIDEO: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
};
const AUDIO: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

/** Camera and microphone: one stream at a time, which outlives every connection that it is sent on. */
export class Camera {
  readonly #emit: (input: PageInput) => void;
  #stream: MediaStream | undefined;
  /** Counts the openings: a permission that is given after the camera was closed again opens nothing. */
  #opening = 0;

  constructor(emit: (input: PageInput) => void) {
    this.#emit = emit;
  }

  get stream(): MediaStream | undefined {
    return this.#stream;
  }

  async open(): Promise<void> {
    const opening = ++this.#opening;
    try {
      const stream = await requestStream();
      if (opening !== this.#opening) return stopTracks(stream);
      this.#stream = stream;
      for (const track of stream.getTracks()) {
        // Fires when the device goes away, not when the page stops the track.
        track.onended = () => this.#emit({ kind: 'cameraGone', problem: 'camera-lost' });
      }
      this.#emit({ kind: 'cameraReady' });
    } catch (error) {
      if (opening === this.#opening) this.#emit({ kind: 'cameraGone', problem: problemOf(error) });
    }
  }

  close(): void {
    this.#opening++;
    if (this.#stream !== undefined) stopTracks(this.#stream);
    this.#stream = undefined;
  }
}

/** Camera and microphone, or the one of them that exists. */
async function requestStream(): Promise<MediaStream> {
  // Browsers leave `mediaDevices` out of pages that came over plain http from another host.
  if (navigator.mediaDevices === undefined) throw new DOMException('no media devices', 'SecurityError');
  const wishes: MediaStreamConstraints[] = [
    { video: VIDEO, audio: AUDIO },
    { video: VIDEO },
    { audio: AUDIO },
  ];
  for (const wish of wishes) {
    try {
      return await navigator.mediaDevices.getUserMedia(wish);
    } catch (error) {
      if (nameOf(error) !== 'NotFoundError') throw error;
    }
  }
  throw new DOMException('neither camera nor microphone', 'NotFoundError');
}

function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
}

function problemOf(error: unknown): CameraProblem {
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

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : '');
