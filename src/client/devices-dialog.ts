import { type Capture, cameraProblemOf, type Devices, openDevices, stopStream } from './camera.ts';
import { find, hide, write } from './dom.ts';
import type { CameraProblem } from './facts.ts';
import { LevelMeter } from './level.ts';
import { rememberDevices, rememberedDevices } from './remembered.ts';
import { describeDeviceProblem } from './words.ts';

export interface DevicesPorts {
  /** The stream is the broadcast's from now on. */
  goLive(stream: MediaStream): void;
  /** Changes what is sent now. */
  use(devices: Devices): Promise<CameraProblem | undefined>;
}

/**
 * Camera and microphone, seen and heard before anybody else does. Before going live the dialog opens them itself; while live it shows what is
 * sent, and a choice takes effect at once.
 */
export class DevicesDialog {
  readonly #ports: DevicesPorts;
  readonly #dialog = find('devices', HTMLDialogElement);
  readonly #title = find('devices-title', HTMLElement);
  readonly #preview = find('preview', HTMLVideoElement);
  readonly #note = find('preview-note', HTMLElement);
  readonly #problem = find('devices-problem', HTMLElement);
  readonly #cameras = find('camera-list', HTMLSelectElement);
  readonly #microphones = find('microphone-list', HTMLSelectElement);
  readonly #retry = find('devices-retry', HTMLButtonElement);
  readonly #cancel = find('devices-cancel', HTMLButtonElement);
  readonly #goLive = find('go-live', HTMLButtonElement);
  readonly #meter: LevelMeter;
  /** Opened for the preview, and not given away. */
  #own: MediaStream | undefined;
  #live = false;
  #free = true;
  #opening = 0;

  constructor(ports: DevicesPorts) {
    this.#ports = ports;
    const level = find('level', HTMLMeterElement);
    this.#meter = new LevelMeter((value) => {
      level.value = value;
    });
    this.#goLive.addEventListener('click', () => this.#start());
    this.#cancel.addEventListener('click', () => this.#dialog.close());
    this.#retry.addEventListener('click', () => void this.#open(this.#chosen()));
    for (const list of [this.#cameras, this.#microphones])
      list.addEventListener('change', () => void this.#choose());
    this.#dialog.addEventListener('close', () => this.#end());
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#list());
  }

  /** Before going live. */
  open(): void {
    this.#show(false);
    void this.#open(rememberedDevices());
  }

  /** While live. */
  openLive(stream: MediaStream, capture: Capture): void {
    this.#show(true);
    this.#display(stream);
    void this.#list(capture.devices);
  }

  /** What is sent is another stream now. */
  follow(stream: MediaStream): void {
    if (this.#dialog.open && this.#live) this.#display(stream);
  }

  /** Somebody else may have taken the place meanwhile; the broadcast may be over. */
  render(canBroadcast: boolean, canStop: boolean): void {
    if (this.#dialog.open && this.#live && !canStop) this.#dialog.close();
    if (this.#free === canBroadcast) return;
    this.#free = canBroadcast;
    this.#goLive.disabled = this.#own === undefined || !canBroadcast;
    if (this.#dialog.open && !this.#live)
      this.#say(
        canBroadcast ? '' : 'Somebody else is broadcasting now. You can go live when the place is free.',
      );
  }

  #show(live: boolean): void {
    this.#live = live;
    write(this.#title, live ? 'Camera and microphone' : 'Before you go live');
    write(this.#cancel, live ? 'Done' : 'Cancel');
    hide(this.#goLive, live);
    this.#preview.parentElement?.classList.toggle('mirror', !live);
    hide(this.#retry, true);
    this.#say('');
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#cancel.focus();
  }

  async #open(devices: Devices): Promise<void> {
    const opening = ++this.#opening;
    this.#release();
    this.#say('');
    hide(this.#retry, true);
    write(this.#note, 'Waiting for your camera. Your browser may be asking for permission.');
    try {
      const stream = await openDevices(devices);
      if (opening !== this.#opening) return stopStream(stream);
      this.#own = stream;
      this.#goLive.disabled = !this.#free;
      if (document.activeElement === this.#cancel) this.#goLive.focus();
      this.#display(stream);
      await this.#list();
    } catch (error) {
      if (opening !== this.#opening) return;
      write(this.#note, 'No picture');
      this.#say(describeDeviceProblem(cameraProblemOf(error)));
      hide(this.#retry, false);
    }
  }

  async #choose(): Promise<void> {
    const devices = this.#chosen();
    if (!this.#live) return await this.#open(devices);
    const problem = await this.#ports.use(devices);
    if (problem === undefined) rememberDevices(devices);
    else {
      this.#say(describeDeviceProblem(problem));
      await this.#list();
    }
  }

  #start(): void {
    const stream = this.#own;
    if (stream === undefined) return;
    this.#own = undefined;
    rememberDevices(this.#chosen());
    this.#dialog.close();
    this.#ports.goLive(stream);
  }

  #end(): void {
    this.#opening++;
    this.#release();
    this.#meter.stop();
    this.#preview.srcObject = null;
  }

  #release(): void {
    if (this.#own !== undefined) stopStream(this.#own);
    this.#own = undefined;
    this.#goLive.disabled = true;
  }

  #display(stream: MediaStream): void {
    this.#preview.srcObject = stream;
    write(this.#note, stream.getVideoTracks().length === 0 ? 'Sound only: no camera was found.' : '');
    this.#meter.start(stream);
  }

  /** The browser tells names only to a page that may use the devices. */
  async #list(inUse: Devices = this.#inUse()): Promise<void> {
    if (!this.#dialog.open || navigator.mediaDevices === undefined) return;
    const all = await navigator.mediaDevices.enumerateDevices();
    fill(
      this.#cameras,
      all.filter(({ kind }) => kind === 'videoinput'),
      'Camera',
      inUse.camera,
    );
    fill(
      this.#microphones,
      all.filter(({ kind }) => kind === 'audioinput'),
      'Microphone',
      inUse.microphone,
    );
  }

  #inUse(): Devices {
    const stream = this.#preview.srcObject;
    if (!(stream instanceof MediaStream)) return {};
    const camera = stream.getVideoTracks()[0]?.getSettings().deviceId;
    const microphone = stream.getAudioTracks()[0]?.getSettings().deviceId;
    return { ...(camera && { camera }), ...(microphone && { microphone }) };
  }

  #chosen(): Devices {
    const camera = this.#cameras.value;
    const microphone = this.#microphones.value;
    return { ...(camera && { camera }), ...(microphone && { microphone }) };
  }

  #say(words: string): void {
    write(this.#problem, words);
  }
}

function fill(list: HTMLSelectElement, devices: readonly MediaDeviceInfo[], name: string, id?: string): void {
  const options = devices.map(({ deviceId, label }, i) => new Option(label || `${name} ${i + 1}`, deviceId));
  if (options.length === 0) options.push(new Option('None found', ''));
  list.replaceChildren(...options);
  list.disabled = devices.length === 0;
  if (id !== undefined && devices.some(({ deviceId }) => deviceId === id)) list.value = id;
}
