import type { Visit, VisitState } from './connect.ts';
import { DevicesDialog } from './devices-dialog.ts';
import { find, hide, label } from './dom.ts';
import { QualityPanel } from './quality-panel.ts';
import { commandOf, type KeyCommand } from './shortcuts.ts';
import { isShown } from './view.ts';

/** The pointer rests, and the controls get out of the picture. */
const IDLE_MS = 3_000;

/** What of a visit the controls are for. */
type Controlled = Omit<Visit, 'state' | 'close' | 'enter'>;

/** The buttons over the picture, and the keys. */
export class Controls {
  readonly #visit: Controlled;
  readonly #say: (words: string) => void;
  readonly #stage = find('stage', HTMLElement);
  readonly #help = find('help-dialog', HTMLDialogElement);
  readonly #volume = find('volume', HTMLInputElement);
  readonly #buttons = {
    broadcast: find('broadcast', HTMLButtonElement),
    stop: find('stop', HTMLButtonElement),
    sound: find('sound', HTMLButtonElement),
    microphone: find('microphone', HTMLButtonElement),
    camera: find('camera', HTMLButtonElement),
    screen: find('screen', HTMLButtonElement),
    choose: find('choose', HTMLButtonElement),
    pip: find('pip', HTMLButtonElement),
    full: find('full', HTMLButtonElement),
    help: find('help', HTMLButtonElement),
    helpClose: find('help-close', HTMLButtonElement),
  };
  readonly #devices: DevicesDialog;
  readonly #quality: QualityPanel;
  #state: VisitState | undefined;
  #picture = false;
  #stream: MediaStream | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** @param say shows the visitor something that went wrong */
  constructor(visit: Controlled, say: (words: string) => void) {
    this.#visit = visit;
    this.#say = say;
    this.#devices = new DevicesDialog({
      goLive: (stream) => visit.broadcast(stream),
      use: (devices) => visit.use(devices),
    });
    this.#quality = new QualityPanel(visit);
    this.#wireButtons();
    this.#wireIdle();
    document.addEventListener('keydown', (event) => this.#key(event));
    document.addEventListener('fullscreenchange', () => this.#renderFull());
    this.#renderFull();
  }

  /** What is to be seen is another stream. */
  follow(stream: MediaStream): void {
    this.#stream = stream;
    this.#devices.follow(stream);
  }

  render(state: VisitState): void {
    this.#state = state;
    const { capture, sound } = state;
    const picture = isShown(state);
    const { broadcast, stop, microphone, camera, screen, choose, pip } = this.#buttons;
    const watches = state.role === 'viewer' && picture;
    const broadcasts = state.canStop;
    hide(broadcast, !state.canBroadcast);
    hide(stop, !broadcasts);
    hide(this.#buttons.sound, !watches);
    hide(this.#volume, !watches);
    hide(microphone, !broadcasts || capture.microphone === 'none');
    hide(camera, !broadcasts || capture.camera === 'none' || capture.screen);
    hide(screen, !broadcasts || capture.camera === 'none' || !canShareScreen);
    hide(choose, !broadcasts);
    hide(pip, !watches || !document.pictureInPictureEnabled);
    label(this.#buttons.sound, sound ? 'Mute' : 'Unmute', sound ? '#i-sound' : '#i-sound-off');
    const [silent, dark] = [capture.microphone === 'off', capture.camera === 'off'];
    label(microphone, silent ? 'Unmute microphone' : 'Mute microphone', silent ? '#i-mic-off' : '#i-mic');
    label(camera, dark ? 'Camera on' : 'Camera off', dark ? '#i-camera-off' : '#i-camera');
    label(
      screen,
      capture.screen ? 'Stop sharing' : 'Share screen',
      capture.screen ? '#i-screen-off' : '#i-screen',
    );
    microphone.classList.toggle('off', silent);
    camera.classList.toggle('off', dark);
    const volume = String(Math.round((sound ? state.volume : 0) * 100));
    if (this.#volume.value !== volume) this.#volume.value = volume;
    this.#quality.render(watches || broadcasts, broadcasts);
    this.#devices.render(state.canBroadcast, broadcasts);
    this.#picture = picture;
    if (!picture) this.#stage.classList.remove('idle');
  }

  #wireButtons(): void {
    const { broadcast, stop, sound, microphone, camera, screen, choose, pip, full, help, helpClose } =
      this.#buttons;
    const visit = this.#visit;
    broadcast.addEventListener('click', () => this.#devices.open());
    stop.addEventListener('click', () => visit.stop());
    sound.addEventListener('click', () => this.#mute());
    microphone.addEventListener('click', () => this.#mute());
    camera.addEventListener('click', () => visit.setCamera(this.#state?.capture.camera === 'off'));
    screen.addEventListener('click', () => void this.#share());
    choose.addEventListener('click', () => {
      if (this.#state !== undefined && this.#stream !== undefined)
        this.#devices.openLive(this.#stream, this.#state.capture);
    });
    pip.addEventListener('click', () => void this.#pictureInPicture());
    full.addEventListener('click', () => void this.#fullScreen());
    help.addEventListener('click', () => this.#help.showModal());
    helpClose.addEventListener('click', () => this.#help.close());
    this.#volume.addEventListener('input', () => this.#setVolume(Number(this.#volume.value) / 100));
    this.#stage.addEventListener('dblclick', ({ target }) => {
      if (target instanceof HTMLVideoElement) void this.#fullScreen();
    });
  }

  #wireIdle(): void {
    for (const event of ['pointermove', 'pointerdown', 'focusin', 'keydown'])
      this.#stage.addEventListener(event, () => this.#awake());
    this.#awake();
  }

  #awake(): void {
    this.#stage.classList.remove('idle');
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#picture && !this.#quality.isOpen) this.#stage.classList.add('idle');
    }, IDLE_MS);
  }

  #key(event: KeyboardEvent): void {
    const { target } = event;
    if (event.defaultPrevented || document.querySelector('dialog[open]') !== null) return;
    const command = commandOf({
      key: event.key,
      modified: event.ctrlKey || event.altKey || event.metaKey,
      typing: target instanceof Element && target.matches('input, select, textarea, [contenteditable]'),
      onControl: target instanceof Element && target.closest('button, a, summary, [tabindex]') !== null,
    });
    if (command === undefined) return;
    event.preventDefault();
    this.#awake();
    this.#obey(command);
  }

  #obey(command: KeyCommand): void {
    if (command === 'mute') this.#mute();
    else if (command === 'full') void this.#fullScreen();
    else if (command === 'pip') void this.#pictureInPicture();
    else this.#help.showModal();
  }

  /** A viewer's sound; a broadcaster's microphone. */
  #mute(): void {
    const { role, canStop, capture } = this.#state ?? {};
    if (canStop) this.#visit.setMicrophone(capture?.microphone === 'off');
    else if (role === 'viewer' && this.#picture) {
      if (!this.#state?.sound && this.#state?.volume === 0) this.#visit.setVolume(1);
      this.#visit.toggleSound();
    }
  }

  #setVolume(volume: number): void {
    const { sound } = this.#state ?? {};
    if (volume > 0) this.#visit.setVolume(volume);
    if (sound !== volume > 0) this.#visit.toggleSound();
  }

  async #share(): Promise<void> {
    const problem = await this.#visit.shareScreen(!this.#state?.capture.screen);
    if (problem !== undefined)
      this.#say('The screen could not be shared. Your system may have to allow it first.');
  }

  async #pictureInPicture(): Promise<void> {
    if (this.#buttons.pip.hidden) return;
    try {
      if (document.pictureInPictureElement !== null) await document.exitPictureInPicture();
      else await this.#front()?.requestPictureInPicture();
    } catch {
      this.#say('The browser does not open a picture in picture now.');
    }
  }

  async #fullScreen(): Promise<void> {
    try {
      if (document.fullscreenElement !== null) await document.exitFullscreen();
      else if (document.fullscreenEnabled) await this.#stage.requestFullscreen();
      else (this.#front() as PhoneVideo | undefined)?.webkitEnterFullscreen?.();
    } catch {
      this.#say('The browser does not give this page the full screen now.');
    }
  }

  #renderFull(): void {
    const { full } = this.#buttons;
    const isFull = document.fullscreenElement !== null;
    hide(full, !document.fullscreenEnabled && !('webkitEnterFullscreen' in HTMLVideoElement.prototype));
    label(full, isFull ? 'Leave full screen' : 'Full screen', isFull ? '#i-unfull' : '#i-full');
  }

  #front(): HTMLVideoElement | undefined {
    return this.#stage.querySelector<HTMLVideoElement>('video.front') ?? undefined;
  }
}

/** Phones of one maker have full screen for videos only. */
type PhoneVideo = HTMLVideoElement & { webkitEnterFullscreen?(): void };

const canShareScreen = navigator.mediaDevices !== undefined && 'getDisplayMedia' in navigator.mediaDevices;
