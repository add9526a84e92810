import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PageInput } from '../../../src/client/io.ts';
import { Stage } from '../../../src/client/stage.ts';

const FADE_MS = 40;
/** Steps of the fade come every 5 ms, and the one that ends it comes behind its end. */
const FADED_MS = FADE_MS + 10;

/** As much of a video as the stage touches. */
class FakeVideo {
  srcObject: object | null = null;
  muted = true;
  volume = 1;
  ariaHidden: string | null = null;
  readonly classes = new Set<string>();
  readonly classList = {
    add: (name: string) => this.classes.add(name),
    remove: (name: string) => this.classes.delete(name),
  };
  readonly ownerDocument: { pictureInPictureElement: FakeVideo | null };
  /** What `play` and `requestPictureInPicture` say. */
  refusal: string | undefined;
  pictureInPictureRefused = false;
  #callbacks = new Map<number, (now: number, metadata: { presentationTime: number }) => void>();
  #last = 0;

  constructor(ownerDocument: FakeVideo['ownerDocument']) {
    this.ownerDocument = ownerDocument;
  }

  requestVideoFrameCallback(callback: (now: number, metadata: { presentationTime: number }) => void): number {
    this.#callbacks.set(++this.#last, callback);
    return this.#last;
  }

  cancelVideoFrameCallback(id: number): void {
    this.#callbacks.delete(id);
  }

  play(): Promise<void> {
    const refused = this.refusal !== undefined && !this.muted;
    return refused ? Promise.reject(new DOMException('', this.refusal)) : Promise.resolve();
  }

  requestPictureInPicture(): Promise<void> {
    if (this.pictureInPictureRefused) return Promise.reject(new DOMException('', 'NotAllowedError'));
    this.ownerDocument.pictureInPictureElement = this;
    return Promise.resolve();
  }

  frame(): void {
    const callbacks = [...this.#callbacks.values()];
    this.#callbacks.clear();
    for (const callback of callbacks) callback(0, { presentationTime: 1 });
  }

  get isFront(): boolean {
    return this.classes.has('front');
  }
}

function setUp() {
  const document = { pictureInPictureElement: null as FakeVideo | null };
  const [a, b] = [new FakeVideo(document), new FakeVideo(document)];
  const inputs: PageInput[] = [];
  const video = (one: FakeVideo) => one as unknown as HTMLVideoElement;
  const stage = new Stage(video(a), video(b), (input) => inputs.push(input));
  return { stage, a, b, inputs, document };
}

const stream = (name: string) => ({ name }) as unknown as MediaStream;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the stage', () => {
  it('has a new stream play behind until it is shown, and keeps the old one until then', () => {
    const { stage, a, b, inputs } = setUp();
    const [first, second] = [stream('first'), stream('second')];
    stage.show(1, first);
    const [front, back] = a.isFront ? [a, b] : [b, a];
    stage.prepare(2, second);
    expect([front.isFront, front.srcObject, back.srcObject]).toEqual([true, first, second]);
    back.frame();
    expect(inputs).toEqual([{ kind: 'frame', peer: 2, at: 1 }]);
    expect(front.isFront).toBe(true);
    stage.show(2, second);
    expect([front.isFront, back.isFront, back.ariaHidden, front.ariaHidden]).toEqual([
      false,
      true,
      null,
      'true',
    ]);
    stage.remove(first);
    expect([front.srcObject, back.srcObject]).toEqual([null, second]);
  });

  it('fades the sound over within 40 ms: one is silent and muted at the end, the other as loud as it is set', () => {
    const { stage, a, b } = setUp();
    const [first, second] = [stream('first'), stream('second')];
    stage.show(1, first);
    stage.setVolume(0.5);
    stage.toggleSound();
    vi.advanceTimersByTime(FADED_MS);
    const [front, back] = a.isFront ? [a, b] : [b, a];
    expect([front.muted, front.volume, back.muted]).toEqual([false, 0.5, true]);
    stage.prepare(2, second);
    stage.show(2, second);
    vi.advanceTimersByTime(FADE_MS / 2);
    expect([front.muted, back.muted]).toEqual([false, false]);
    expect(front.volume + back.volume).toBeCloseTo(0.5);
    expect(Math.min(front.volume, back.volume)).toBeGreaterThan(0);
    vi.advanceTimersByTime(FADED_MS / 2);
    expect([front.muted, front.volume, back.muted, back.volume]).toEqual([true, 0, false, 0.5]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has the sound of nothing before somebody asks for it, and never one’s own', () => {
    const { stage, a, b } = setUp();
    stage.show(1, stream('broadcast'));
    vi.advanceTimersByTime(FADED_MS);
    expect([a.muted, b.muted]).toEqual([true, true]);
    stage.toggleSound();
    stage.show(undefined, stream('own camera'));
    vi.advanceTimersByTime(FADED_MS);
    expect([a.muted, b.muted]).toEqual([true, true]);
  });

  it('plays on in silence where the browser wants a click first', async () => {
    const { stage, a, b } = setUp();
    a.refusal = 'NotAllowedError';
    b.refusal = 'NotAllowedError';
    stage.show(1, stream('broadcast'));
    stage.toggleSound();
    await vi.advanceTimersByTimeAsync(FADED_MS);
    expect(stage.sound).toBe(false);
    expect([a.muted, b.muted]).toEqual([true, true]);
  });

  it('takes picture in picture along', async () => {
    const { stage, a, b, document } = setUp();
    stage.show(1, stream('first'));
    const [front, back] = a.isFront ? [a, b] : [b, a];
    document.pictureInPictureElement = front;
    stage.show(2, stream('second'));
    await vi.advanceTimersByTimeAsync(0);
    expect(document.pictureInPictureElement).toBe(back);
  });

  it('feeds the one in picture in picture where the browser does not let it move, and counts its frames once', async () => {
    const { stage, a, b, document, inputs } = setUp();
    const [first, second] = [stream('first'), stream('second')];
    stage.show(1, first);
    const [front, back] = a.isFront ? [a, b] : [b, a];
    document.pictureInPictureElement = front;
    back.pictureInPictureRefused = true;
    stage.show(2, second);
    await vi.advanceTimersByTimeAsync(0);
    stage.remove(first);
    expect(front.srcObject).toBe(second);
    front.frame();
    expect(inputs).toEqual([]);
    back.frame();
    expect(inputs).toHaveLength(1);
    // The next one goes there, and it is the one to be seen again.
    const third = stream('third');
    stage.prepare(3, third);
    expect(front.srcObject).toBe(third);
  });

  it('does not open picture in picture by itself', async () => {
    const { stage, document } = setUp();
    stage.show(1, stream('first'));
    stage.show(2, stream('second'));
    await vi.advanceTimersByTimeAsync(0);
    expect(document.pictureInPictureElement).toBe(null);
  });

  it('shows one’s own picture from elsewhere with its first frame, and lets go of the one before', () => {
    const { stage, a, b } = setUp();
    const [camera, screen] = [stream('camera'), stream('screen')];
    stage.show(undefined, camera);
    const [front, back] = a.isFront ? [a, b] : [b, a];
    stage.follow(screen);
    expect([front.isFront, front.srcObject]).toEqual([true, camera]);
    back.frame();
    expect([front.isFront, back.isFront]).toEqual([false, true]);
    expect([front.srcObject, back.srcObject]).toEqual([null, screen]);
    stage.removeOwn();
    expect(back.srcObject).toBe(null);
  });

  it('does not put one’s own picture over a broadcast', () => {
    const { stage, a, b } = setUp();
    const broadcast = stream('broadcast');
    stage.show(1, broadcast);
    stage.follow(stream('camera'));
    expect([a.srcObject, b.srcObject].filter((one) => one !== null)).toEqual([broadcast]);
  });
});
