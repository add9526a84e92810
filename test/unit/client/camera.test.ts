import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  Camera,
  cameraProblemOf,
  type Devices,
  openDevices,
  type Silenced,
} from '../../../src/client/camera.ts';
import type { PageInput } from '../../../src/client/io.ts';

class FakeTrack {
  readonly kind: 'audio' | 'video';
  readonly id: string;
  enabled = true;
  readyState = 'live';
  contentHint = '';
  onended: (() => void) | null = null;
  applied: unknown;

  constructor(kind: 'audio' | 'video', id: string) {
    this.kind = kind;
    this.id = id;
  }

  getSettings(): { deviceId: string } {
    return { deviceId: this.id };
  }

  applyConstraints(wish: unknown): Promise<void> {
    this.applied = wish;
    return Promise.resolve();
  }

  stop(): void {
    this.readyState = 'ended';
  }

  /** The device is pulled out, or the browser's own button pressed. */
  end(): void {
    this.readyState = 'ended';
    this.onended?.();
  }
}

class FakeStream {
  readonly #tracks: readonly FakeTrack[];

  constructor(tracks: readonly FakeTrack[]) {
    this.#tracks = tracks;
  }

  getTracks = () => this.#tracks;
  getVideoTracks = () => this.#tracks.filter(({ kind }) => kind === 'video');
  getAudioTracks = () => this.#tracks.filter(({ kind }) => kind === 'audio');
}

interface Wish {
  readonly deviceId?: { readonly exact: string };
}
type Wishes = { readonly video?: Wish; readonly audio?: Wish };

let getUserMedia: (wishes: Wishes) => Promise<FakeStream>;
let getDisplayMedia: () => Promise<FakeStream>;

const refusal = (name: string) => Promise.reject(new DOMException('', name));
const granted = ({ video, audio }: Wishes): Promise<FakeStream> => {
  const tracks = [
    ...(video ? [new FakeTrack('video', video.deviceId?.exact ?? 'camera 1')] : []),
    ...(audio ? [new FakeTrack('audio', audio.deviceId?.exact ?? 'microphone 1')] : []),
  ];
  return Promise.resolve(new FakeStream(tracks));
};

beforeEach(() => {
  getUserMedia = granted;
  getDisplayMedia = () => Promise.resolve(new FakeStream([new FakeTrack('video', 'screen')]));
  vi.stubGlobal('MediaStream', FakeStream);
  vi.stubGlobal('navigator', {
    mediaDevices: {
      getUserMedia: (wishes: Wishes) => getUserMedia(wishes),
      getDisplayMedia: () => getDisplayMedia(),
    },
  });
});
afterEach(() => vi.unstubAllGlobals());

function setUp(devices?: Devices, silenced?: readonly Silenced[]) {
  const inputs: PageInput[] = [];
  const camera = new Camera(
    (input) => inputs.push(input),
    () => undefined,
    devices,
    silenced,
  );
  const tracks = () => (camera.stream as unknown as FakeStream).getTracks();
  return { camera, inputs, tracks, ids: () => tracks().map(({ id }) => id) };
}

async function opened(devices?: Devices) {
  const all = setUp(devices);
  await all.camera.open();
  expect(all.inputs).toEqual([{ kind: 'cameraReady' }]);
  return all;
}

const given = () => new FakeStream([new FakeTrack('video', 'seen'), new FakeTrack('audio', 'heard')]);
const asStream = (stream: FakeStream) => stream as unknown as MediaStream;

describe('the devices that are opened', () => {
  it('are exactly the ones that were chosen', async () => {
    const { ids } = await opened({ camera: 'camera 2', microphone: 'microphone 2' });
    expect(ids()).toEqual(['camera 2', 'microphone 2']);
  });

  it('are whichever there are where the chosen ones are gone', async () => {
    getUserMedia = (wishes) =>
      wishes.video?.deviceId === undefined ? granted(wishes) : refusal('OverconstrainedError');
    const { ids } = await opened({ camera: 'camera 2' });
    expect(ids()).toEqual(['camera 1', 'microphone 1']);
  });

  it('are the one that exists where the other does not', async () => {
    getUserMedia = (wishes) => (wishes.audio === undefined ? granted(wishes) : refusal('NotFoundError'));
    const { ids, camera } = await opened();
    expect(ids()).toEqual(['camera 1']);
    expect(camera.capture).toMatchObject({ camera: 'on', microphone: 'none' });
  });

  it.each([
    ['NotAllowedError', 'camera-denied'],
    ['NotFoundError', 'camera-missing'],
    ['OverconstrainedError', 'camera-missing'],
    ['NotReadableError', 'camera-in-use'],
    ['AbortError', 'camera-in-use'],
    ['SecurityError', 'camera-insecure'],
    ['TypeError', 'camera-failed'],
  ])('cannot be had with %s: %s', async (name, problem) => {
    getUserMedia = () => refusal(name);
    const { camera, inputs } = setUp({ camera: 'camera 2' });
    await camera.open();
    expect(inputs).toEqual([{ kind: 'cameraGone', problem }]);
    expect(camera.stream).toBeUndefined();
  });

  it('do not exist in pages of origins that are not secure', async () => {
    vi.stubGlobal('navigator', {});
    await expect(openDevices({})).rejects.toSatisfy((error) => cameraProblemOf(error) === 'camera-insecure');
  });

  it('are closed again where the page was faster', async () => {
    const late: FakeStream[] = [];
    getUserMedia = async (wishes) => {
      const stream = await granted(wishes);
      late.push(stream);
      return stream;
    };
    const { camera, inputs } = setUp();
    const opening = camera.open();
    camera.close();
    await opening;
    expect(inputs).toEqual([]);
    expect(late[0]?.getTracks().map(({ readyState }) => readyState)).toEqual(['ended', 'ended']);
  });
});

describe('a microphone that was off when the page was loaded again', () => {
  it('is off from the first moment, and is known to be, also before it is open', async () => {
    const { camera, tracks } = setUp({}, ['audio']);
    expect(camera.silenced).toEqual(['audio']);
    await camera.open();
    expect(tracks().map(({ kind, enabled }) => [kind, enabled])).toEqual([
      ['video', true],
      ['audio', false],
    ]);
    expect([camera.capture.microphone, camera.silenced]).toEqual(['off', ['audio']]);
    camera.enable('audio', true);
    camera.enable('video', false);
    expect(camera.silenced).toEqual(['video']);
  });

  it('is on when it is opened another time, or was seen and heard before', async () => {
    const again = setUp({}, ['audio']);
    await again.camera.open();
    again.camera.close();
    expect(again.camera.silenced).toEqual([]);
    await again.camera.open();
    expect(again.camera.capture.microphone).toBe('on');
    const shown = setUp({}, ['audio']);
    shown.camera.give(asStream(given()));
    await shown.camera.open();
    expect(shown.camera.capture.microphone).toBe('on');
  });
});

describe('a stream that is given', () => {
  it('is what is opened, and asks nobody', async () => {
    getUserMedia = () => refusal('NotAllowedError');
    const { camera, ids, inputs } = setUp();
    camera.give(asStream(given()));
    await camera.open();
    expect([ids(), inputs]).toEqual([['seen', 'heard'], [{ kind: 'cameraReady' }]]);
    camera.takeBack();
    expect(camera.capture.camera).toBe('on');
  });

  it('is ended where nobody opens it', () => {
    const { camera } = setUp();
    const stream = given();
    camera.give(asStream(stream));
    camera.takeBack();
    expect(stream.getTracks().map(({ readyState }) => readyState)).toEqual(['ended', 'ended']);
  });
});

describe('while broadcasting', () => {
  it('another camera takes the place of the first, which is closed, and stays as dark as that was', async () => {
    const { camera, tracks, ids } = await opened();
    const [first] = tracks();
    camera.enable('video', false);
    expect(await camera.use({ camera: 'camera 2' })).toBeUndefined();
    expect(ids()).toEqual(['camera 2', 'microphone 1']);
    expect([first?.readyState, tracks()[0]?.enabled]).toEqual(['ended', false]);
    expect(camera.capture.devices).toEqual({ camera: 'camera 2', microphone: 'microphone 1' });
    camera.close();
    await camera.open();
    expect(ids()).toEqual(['camera 2', 'microphone 1']);
  });

  it('a camera that cannot be opened is said, and the first goes on', async () => {
    const { camera, tracks, ids } = await opened();
    getUserMedia = () => refusal('NotAllowedError');
    expect(await camera.use({ camera: 'camera 2' })).toBe('camera-denied');
    expect([ids(), tracks()[0]?.readyState]).toEqual([['camera 1', 'microphone 1'], 'live']);
  });

  it('the first is closed first where a phone opens one at a time', async () => {
    const { camera, tracks, ids } = await opened();
    const [first] = tracks();
    getUserMedia = (wishes) => (first?.readyState === 'live' ? refusal('NotReadableError') : granted(wishes));
    expect(await camera.use({ camera: 'camera 2' })).toBeUndefined();
    expect(ids()).toEqual(['camera 2', 'microphone 1']);
  });

  it('the first is opened again where the other cannot be even then', async () => {
    const { camera, ids, inputs } = await opened();
    getUserMedia = (wishes) =>
      wishes.video?.deviceId?.exact === 'camera 2' ? refusal('NotReadableError') : granted(wishes);
    expect(await camera.use({ camera: 'camera 2' })).toBe('camera-in-use');
    expect(ids()).toEqual(['camera 1', 'microphone 1']);
    expect(camera.capture.devices.camera).toBe('camera 1');
    expect(inputs).toEqual([{ kind: 'cameraReady' }]);
  });

  it('the page is told where neither can be opened again', async () => {
    const { camera, inputs } = await opened();
    getUserMedia = () => refusal('NotReadableError');
    expect(await camera.use({ camera: 'camera 2' })).toBe('camera-in-use');
    expect(inputs.at(-1)).toEqual({ kind: 'cameraGone', problem: 'camera-lost' });
  });

  it('a device that is pulled out ends it', async () => {
    const { tracks, inputs } = await opened();
    tracks()[0]?.end();
    expect(inputs.at(-1)).toEqual({ kind: 'cameraGone', problem: 'camera-lost' });
  });

  it('the screen is shown in the place of the camera, until the browser’s own button gives that back', async () => {
    const { camera, tracks, ids, inputs } = await opened();
    expect(await camera.share()).toBeUndefined();
    expect([ids(), camera.capture.screen]).toEqual([['screen', 'microphone 1'], true]);
    tracks()[0]?.end();
    expect([ids(), camera.capture.screen]).toEqual([['camera 1', 'microphone 1'], false]);
    expect(inputs).toEqual([{ kind: 'cameraReady' }]);
  });

  it('no device stays open that was chosen and chosen again before it was there', async () => {
    const { camera, ids } = await opened();
    const made: FakeTrack[] = [];
    getUserMedia = async (wishes) => {
      const stream = await granted(wishes);
      made.push(...stream.getTracks());
      return stream;
    };
    expect(
      await Promise.all([camera.use({ camera: 'camera 2' }), camera.use({ camera: 'camera 3' })]),
    ).toEqual([undefined, undefined]);
    expect(ids()).toEqual(['camera 3', 'microphone 1']);
    expect(made.filter(({ readyState }) => readyState === 'live').map(({ id }) => id)).toEqual(['camera 3']);
  });

  it('another choice is heard after one that could not be', async () => {
    const { camera, ids } = await opened();
    getUserMedia = (wishes) =>
      wishes.video?.deviceId?.exact === 'camera 2' ? refusal('NotAllowedError') : granted(wishes);
    expect(
      await Promise.all([camera.use({ camera: 'camera 2' }), camera.use({ camera: 'camera 3' })]),
    ).toEqual(['camera-denied', undefined]);
    expect(ids()).toEqual(['camera 3', 'microphone 1']);
  });

  it('one screen is shared, however often the browser was asked for one', async () => {
    const { camera, ids } = await opened();
    const made: FakeTrack[] = [];
    getDisplayMedia = async () => {
      made.push(new FakeTrack('video', `screen ${made.length + 1}`));
      return new FakeStream(made.slice(-1));
    };
    await Promise.all([camera.share(), camera.share()]);
    expect(made.filter(({ readyState }) => readyState === 'live').map(({ id }) => id)).toEqual([ids()[0]]);
    camera.unshare();
    expect(made.every(({ readyState }) => readyState === 'ended')).toBe(true);
  });

  it('a visitor who does not choose a screen has done nothing wrong; a system that refuses is said', async () => {
    const { camera, ids } = await opened();
    getDisplayMedia = () => refusal('NotAllowedError');
    expect(await camera.share()).toBeUndefined();
    getDisplayMedia = () => refusal('NotReadableError');
    expect(await camera.share()).toBe('camera-in-use');
    expect(ids()).toEqual(['camera 1', 'microphone 1']);
  });

  it('a wish for another picture reaches camera and screen, and what is opened later', async () => {
    const { camera, tracks } = await opened();
    const [first] = tracks();
    await camera.share();
    await camera.setPicture({ height: 360, frameRate: 15 });
    expect(first?.applied).toMatchObject({
      width: { ideal: 640 },
      height: { ideal: 360 },
      frameRate: { ideal: 15 },
    });
    expect(tracks()[0]?.applied).toMatchObject({ height: { max: 360 } });
    const asked: Wishes[] = [];
    getUserMedia = (wishes) => {
      asked.push(wishes);
      return granted(wishes);
    };
    await camera.use({ camera: 'camera 2' });
    expect(asked[0]?.video).toMatchObject({ height: { ideal: 360 } });
  });
});
