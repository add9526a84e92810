import { gainAfter } from './fade.ts';
import type { PageInput } from './io.ts';

interface Slot {
  readonly video: HTMLVideoElement;
  /** Peer whose picture this is; `undefined` for the broadcaster's own preview. */
  peer: number | undefined;
  callback: number;
  /** Share of the volume that is heard now. */
  gain: number;
}

/** A step of a fade. A throttled timer comes later, and the step is longer then. */
const FADE_STEP_MS = 5;

/**
 * Two videos, one over the other. A new stream starts playing in the one behind, and they change places when its first frame is there:
 * giving the visible one another stream would show black until then. The sound is faded over: a hard switch can be heard as a click.
 *
 * A connection may be taken before it has a picture, since it has sound or the one before is of no use any more. Its sound is heard at once; the old
 * picture stays until there is a new one, even when its connection is closed.
 */
export class Stage {
  readonly #emit: (input: PageInput) => void;
  #front: Slot;
  #back: Slot;
  #sound = false;
  #volume = 1;
  #fade: ReturnType<typeof setInterval> | undefined;
  #fadedAt = 0;
  /** Comes to the front by itself with its first frame. */
  #next: MediaStream | undefined;
  /** The stream in front has been taken off, and its last frame stays for want of a better one. */
  #stale = false;

  constructor(first: HTMLVideoElement, second: HTMLVideoElement, emit: (input: PageInput) => void) {
    this.#emit = emit;
    this.#front = { video: first, peer: undefined, callback: 0, gain: 0 };
    this.#back = { video: second, peer: undefined, callback: 0, gain: 0 };
  }

  get sound(): boolean {
    return this.#sound;
  }

  get volume(): number {
    return this.#volume;
  }

  /** Plays a stream where nobody sees it yet. */
  prepare(peer: number | undefined, stream: MediaStream): void {
    if (this.#front.video.srcObject === stream) this.#front.peer = peer;
    else if (this.#back.video.srcObject !== stream) this.#load(this.#back, peer, stream);
  }

  show(peer: number | undefined, stream: MediaStream): void {
    this.prepare(peer, stream);
    if (this.#back.video.srcObject === stream && hasPicture(this.#front) && !hasPicture(this.#back)) {
      this.#next = stream;
      this.#applySound();
    } else this.#bringToFront(stream);
  }

  /** The broadcaster's own picture, from somewhere else than before. */
  follow(stream: MediaStream): void {
    if (this.#front.peer !== undefined || this.#front.video.srcObject === null) return;
    this.prepare(undefined, stream);
    this.#next = stream;
  }

  /** Takes a stream off, wherever it plays; its last frame may stay in front until there is another picture. */
  remove(stream: MediaStream): void {
    if (this.#next === stream) this.#next = undefined;
    for (const slot of this.#slots()) {
      if (slot.video.srcObject !== stream) continue;
      if (slot === this.#front && slot.peer !== undefined) this.#stale = true;
      else this.#empty(slot);
    }
  }

  /** Takes everything off: the visit is over. */
  clear(): void {
    this.#next = undefined;
    for (const slot of this.#slots()) this.#empty(slot);
  }

  /** Takes the broadcaster's own picture off. */
  removeOwn(): void {
    this.#next = undefined;
    for (const slot of this.#slots()) if (slot.peer === undefined) this.#empty(slot);
  }

  toggleSound(): void {
    this.#sound = !this.#sound;
    this.#applySound();
  }

  /** @param volume 0 to 1 */
  setVolume(volume: number): void {
    this.#volume = Math.min(Math.max(volume, 0), 1);
    for (const slot of this.#slots()) slot.video.volume = slot.gain * this.#volume;
  }

  #slots(): readonly Slot[] {
    return [this.#front, this.#back];
  }

  #load(slot: Slot, peer: number | undefined, stream: MediaStream): void {
    slot.video.cancelVideoFrameCallback(slot.callback);
    slot.peer = peer;
    this.#setGain(slot, 0);
    slot.video.srcObject = stream;
    this.#watch(slot);
    this.#play(slot);
  }

  #empty(slot: Slot): void {
    slot.video.cancelVideoFrameCallback(slot.callback);
    if (slot === this.#front) this.#stale = false;
    this.#setGain(slot, 0);
    slot.video.srcObject = null;
  }

  #watch(slot: Slot): void {
    slot.callback = slot.video.requestVideoFrameCallback((_now, metadata) => {
      this.#watch(slot);
      if (slot === this.#back && this.#next !== undefined && slot.video.srcObject === this.#next) {
        this.#bringToFront(this.#next);
        if (slot.peer === undefined) this.#empty(this.#back);
      }
      this.#emit({ kind: 'frame', peer: slot.peer, at: metadata.presentationTime });
    });
  }

  #bringToFront(stream: MediaStream): void {
    this.#next = undefined;
    if (this.#front.video.srcObject !== stream) this.#swap();
    this.#front.video.classList.add('front');
    this.#back.video.classList.remove('front');
    this.#back.video.ariaHidden = 'true';
    this.#front.video.ariaHidden = null;
    if (this.#stale) this.#empty(this.#back);
    this.#stale = false;
    this.#applySound();
  }

  #swap(): void {
    [this.#front, this.#back] = [this.#back, this.#front];
    const { video: old } = this.#back;
    if (old.ownerDocument.pictureInPictureElement !== old) return;
    const { video } = this.#front;
    // The window is there already, so browsers want no click for this. Where one does, the old video shows what the new one does.
    video.requestPictureInPicture().catch(() => {
      if (this.#front.video !== video) return;
      old.cancelVideoFrameCallback(this.#back.callback);
      old.srcObject = video.srcObject;
      this.#play(this.#back);
    });
  }

  #applySound(): void {
    this.#fadedAt = performance.now();
    this.#fade ??= setInterval(() => this.#step(performance.now()), FADE_STEP_MS);
    const heard = this.#heard;
    if (this.#isAudible(heard)) heard.video.muted = false;
    this.#play(heard);
  }

  #step(now: number): void {
    const elapsed = now - this.#fadedAt;
    this.#fadedAt = now;
    let over = true;
    for (const slot of this.#slots()) {
      const target = this.#isAudible(slot) ? 1 : 0;
      this.#setGain(slot, gainAfter(slot.gain, target, elapsed));
      over &&= slot.gain === target;
    }
    if (!over) return;
    clearInterval(this.#fade);
    this.#fade = undefined;
  }

  get #heard(): Slot {
    return this.#next !== undefined && this.#back.video.srcObject === this.#next ? this.#back : this.#front;
  }

  #isAudible(slot: Slot): boolean {
    return this.#sound && slot === this.#heard && slot.peer !== undefined;
  }

  #setGain(slot: Slot, gain: number): void {
    slot.gain = gain;
    slot.video.volume = gain * this.#volume;
    if (gain === 0) slot.video.muted = !this.#isAudible(slot);
  }

  #play(slot: Slot): void {
    slot.video.play().catch((error: unknown) => {
      // Another stream was set meanwhile: its own play() is under way.
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      // No sound without a click on this page: a silent picture is better than none.
      if (slot.video.muted) return;
      this.#sound = false;
      slot.video.muted = true;
      this.#play(slot);
    });
  }
}

const hasPicture = ({ video }: Slot): boolean =>
  video.srcObject !== null && video.videoWidth > 0 && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
