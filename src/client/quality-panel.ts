import type { PictureWish } from './camera.ts';
import { find, hide, write } from './dom.ts';
import { QualityMeter, type StatsEntry } from './quality.ts';
import { describeQuality } from './words.ts';

const READ_INTERVAL_MS = 1_000;

export interface QualityPorts {
  statistics(): Promise<RTCStatsReport | undefined>;
  setPicture(wish: PictureWish): Promise<void>;
}

/** How fine the picture is, and for who broadcasts, how fine it shall be. */
export class QualityPanel {
  readonly #ports: QualityPorts;
  readonly #button = find('quality', HTMLButtonElement);
  readonly #panel = find('quality-panel', HTMLElement);
  readonly #choice = find('quality-choice', HTMLElement);
  readonly #height = find('picture-height', HTMLSelectElement);
  readonly #rate = find('picture-rate', HTMLSelectElement);
  readonly #rows = {
    picture: find('quality-picture', HTMLElement),
    frames: find('quality-frames', HTMLElement),
    bits: find('quality-bits', HTMLElement),
    loss: find('quality-loss', HTMLElement),
  };
  readonly #meter = new QualityMeter();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(ports: QualityPorts) {
    this.#ports = ports;
    this.#button.addEventListener('click', () => (this.isOpen ? this.#close() : this.#open()));
    for (const list of [this.#height, this.#rate])
      list.addEventListener('change', () => void ports.setPicture(this.#wish()));
    document.addEventListener('pointerdown', ({ target }) => {
      if (target instanceof Node && !this.#panel.contains(target) && !this.#button.contains(target))
        this.#close();
    });
    document.addEventListener('keydown', ({ key }) => {
      if (key !== 'Escape' || !this.isOpen) return;
      this.#close();
      this.#button.focus();
    });
  }

  get isOpen(): boolean {
    return !this.#panel.hidden;
  }

  render(visible: boolean, broadcasts: boolean): void {
    hide(this.#button, !visible);
    hide(this.#choice, !broadcasts);
    if (!visible) this.#close();
  }

  #close(): void {
    clearInterval(this.#timer);
    hide(this.#panel, true);
    this.#button.ariaExpanded = 'false';
  }

  #open(): void {
    hide(this.#panel, false);
    this.#button.ariaExpanded = 'true';
    this.#meter.reset();
    void this.#read();
    this.#timer = setInterval(() => void this.#read(), READ_INTERVAL_MS);
  }

  async #read(): Promise<void> {
    const entries: StatsEntry[] = [];
    const report = await this.#ports.statistics();
    report?.forEach((entry: StatsEntry) => {
      entries.push(entry);
    });
    const words = describeQuality(this.#meter.read(entries));
    write(this.#rows.picture, words.picture);
    write(this.#rows.frames, words.frames);
    write(this.#rows.bits, words.bits);
    write(this.#rows.loss, words.loss);
  }

  #wish(): PictureWish {
    const height = Number(this.#height.value);
    const frameRate = Number(this.#rate.value);
    return { ...(height > 0 && { height }), ...(frameRate > 0 && { frameRate }) };
  }
}
