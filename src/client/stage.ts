import type { PageInput } from './io.ts';

interface Slot {
  readonly video: HTMLVideoElement;
  /** Peer whose picture this is; `undefined` for the broadcaster's own preview. */
  peer: number | undefined;
  callback: number;
}

/**
 * Two videos, one over the other. A new stream starts playing in the one behind, and they change places when its first frame is there:
 * giving the visible one another stream would show black until then.
 */
export class Stage {
  readonly #emit: (input: PageInput) => void;
  #front: Slot;
  #back: Slot;
  #sound = false;

  constructor(first: HTMLVideoElement, second: HTMLVideoElement, emit: (input: PageInput) => void) {
    this.#emit = emit;
    this.#front = { video: first, peer: undefined, callback: 0 };
    this.#back = { video: second, peer: undefined, callback: 0 };
  }

  get sound(): boolean {
    return this.#sound;
  }

  /** Plays a stream where nobody sees it yet. */
  prepare(peer: number | undefined, stream: MediaStream): void {
    if (this.#front.video.srcObject === stream) this.#front.peer = peer;
    else if (this.#back.video.srcObject !== stream) this.#load(this.#back, peer, stream);
  }

  show(peer: number | undefined, stream: MediaStream): void {
    this.prepare(peer, stream);
    if (this.#front.video.srcObject !== stream) [this.#front, this.#back] = [this.#back, this.#front];
    this.#front.video.classList.add('front');
    this.#back.video.classList.remove('front');
    this.#back.video.ariaHidden = 'true';
    this.#front.video.ariaHidden = null;
    this.#applySound();
  }

  /** Takes a stream off, wherever it plays. */
  remove(stream: MediaStream): void {
    for (const slot of [this.#front, this.#back]) {
      if (slot.video.srcObject !== stream) continue;
      slot.video.cancelVideoFrameCallback(slot.callback);
      slot.video.srcObject = null;
    }
  }

  toggleSound(): void {
    this.#sound = !this.#sound;
    this.#applySound();
  }

  #load(slot: Slot, peer: number | undefined, stream: MediaStream): void {
    slot.video.cancelVideoFrameCallback(slot.callback);
    slot.peer = peer;
    slot.video.muted = true;
    slot.video.srcObject = stream;
    this.#watch(slot);
    this.#play(slot);
  }

  #watch(slot: Slot): void {
    slot.callback = slot.video.requestVideoFrameCallback((_now, metadata) => {
      this.#watch(slot);
      this.#emit({ kind: 'frame', peer: slot.peer, at: metadata.presentationTime });
    });
  }

  #applySound(): void {
    this.#back.video.muted = true;
    this.#front.video.muted = !this.#sound || this.#front.peer === undefined;
    this.#play(this.#front);
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
