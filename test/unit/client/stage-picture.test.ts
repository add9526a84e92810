import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { PageInput } from '../../../src/client/io.ts';
import { Stage } from '../../../src/client/stage.ts';

/** What the stage uses of a `<video>`. */
class FakeVideo {
  videoWidth = 0;
  readyState = 0;
  muted = true;
  volume = 1;
  ariaHidden: string | null = null;
  readonly ownerDocument = { pictureInPictureElement: null };
  readonly classes = new Set<string>();
  readonly classList = {
    add: (name: string) => this.classes.add(name),
    remove: (name: string) => this.classes.delete(name),
  };
  #stream: object | null = null;
  #callback: ((now: number, metadata: { presentationTime: number }) => void) | undefined;

  get srcObject(): object | null {
    return this.#stream;
  }

  set srcObject(stream: object | null) {
    this.#stream = stream;
    this.videoWidth = 0;
    this.readyState = 0;
  }

  requestVideoFrameCallback(callback: (now: number, metadata: { presentationTime: number }) => void): number {
    this.#callback = callback;
    return 1;
  }

  cancelVideoFrameCallback(): void {
    this.#callback = undefined;
  }

  play(): Promise<void> {
    return Promise.resolve();
  }

  show(): void {
    this.videoWidth = 640;
    this.readyState = 4;
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.(0, { presentationTime: 0 });
  }
}

const [OLD, NEW] = [{ name: 'old' }, { name: 'new' }] as unknown as [MediaStream, MediaStream];
let a: FakeVideo;
let b: FakeVideo;
let stage: Stage;
let inputs: PageInput[];
const front = (): object | null => (a.classes.has('front') ? a : b).srcObject;
const heard = (): readonly (object | null)[] =>
  [a, b].filter(({ muted }) => !muted).map(({ srcObject }) => srcObject);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('HTMLMediaElement', { HAVE_CURRENT_DATA: 2 });
  a = new FakeVideo();
  b = new FakeVideo();
  inputs = [];
  const videos = [a, b] as unknown as [HTMLVideoElement, HTMLVideoElement];
  stage = new Stage(...videos, (input) => inputs.push(input));
  stage.show(1, OLD);
  b.show();
  expect(front()).toBe(OLD);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it('shows a stream at once that has a picture', () => {
  stage.prepare(2, NEW);
  a.show();
  stage.show(2, NEW);
  expect(front()).toBe(NEW);
});

it('keeps the old picture until the new stream has one, even when the old stream is taken off', () => {
  stage.prepare(2, NEW);
  stage.show(2, NEW);
  expect(front()).toBe(OLD);
  stage.remove(OLD);
  expect(front()).toBe(OLD);
  a.show();
  expect(front()).toBe(NEW);
  expect(b.srcObject).toBeNull();
});

it('lets the sound of the new stream be heard before its picture is there', () => {
  stage.toggleSound();
  vi.runAllTimers();
  expect(heard()).toEqual([OLD]);
  stage.show(2, NEW);
  vi.runAllTimers();
  expect(heard()).toEqual([NEW]);
});

it('keeps the old picture while the server gives one connection up and offers the next, and takes it off at the end', () => {
  stage.show(2, NEW);
  stage.remove(OLD);
  stage.remove(NEW);
  expect(front()).toBe(OLD);
  stage.clear();
  expect([a.srcObject, b.srcObject]).toEqual([null, null]);
});

it('goes over to a third stream that has a picture before the second', () => {
  const third = { name: 'third' } as unknown as MediaStream;
  stage.show(2, NEW);
  stage.remove(OLD);
  stage.prepare(3, third);
  a.show();
  stage.show(3, third);
  stage.remove(NEW);
  expect(front()).toBe(third);
  expect(b.srcObject).toBeNull();
});

it('does not wait where there was no picture: it may be sound only', () => {
  b.videoWidth = 0;
  stage.show(2, NEW);
  expect(front()).toBe(NEW);
});
