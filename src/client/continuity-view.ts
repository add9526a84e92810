import type { Role } from '../signaling/protocol.ts';
import { monotonicNow } from '../util/clock.ts';
import type { ContinuityReading } from './continuity.ts';
import { CHART_HEIGHT, drawTimeline, LABEL_SIZE, type Palette } from './continuity-chart.ts';
import { layOut } from './continuity-layout.ts';
import {
  describeOutage,
  describeSeal,
  describeTimeline,
  type OutageWords,
  shortFingerprint,
  summarize,
  wholeFingerprint,
} from './continuity-words.ts';
import { find, hide, write } from './dom.ts';
import { lengthOf } from './gaps.ts';
import { beyondOf, downtimeOf, durationOf, type Outage } from './outages.ts';

/** What the panel shows. */
export interface ContinuitySource {
  readonly continuity: ContinuityReading;
  readonly state: { readonly role: Role | undefined; readonly epoch: number | undefined };
}

const STEP_MS = 100;
/** For people who ask for less motion. */
const CALM_STEP_MS = 1_000;
/** Where the panel is folded up at first. */
const PHONE = '(max-width: 40rem)';
const COPIED_MS = 2_000;

const COLUMNS = [
  'title',
  'downtime',
  'stood',
  'beyond',
  'keys',
  'epochs',
] as const satisfies readonly (keyof OutageWords)[];

/** The continuity panel: the seal, the timeline, and the table of outages, which says the same in text. */
export class ContinuityView {
  readonly #source: ContinuitySource;
  readonly #section = find('continuity', HTMLElement);
  readonly #panel = find('continuity-panel', HTMLDetailsElement);
  readonly #brief = find('continuity-brief', HTMLElement);
  readonly #title = find('continuity-seal-title', HTMLElement);
  readonly #text = find('continuity-seal-text', HTMLElement);
  readonly #epoch = find('continuity-epoch', HTMLElement);
  readonly #fingerprint = find('continuity-fingerprint', HTMLElement);
  readonly #whole = find('continuity-whole', HTMLElement);
  readonly #copy = find('continuity-copy', HTMLButtonElement);
  readonly #bars = find('continuity-bars', HTMLElement);
  readonly #canvas = find('continuity-canvas', HTMLCanvasElement);
  readonly #none = find('continuity-none', HTMLElement);
  readonly #table = find('continuity-table', HTMLTableElement);
  readonly #rows = new Map<number, HTMLTableRowElement>();
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #palette: Palette | undefined;
  #isSeen = false;
  #wasOver = true;
  #second = 0;
  #frame = 0;
  #written: number | undefined;
  #drawn: string | undefined;

  constructor(source: ContinuitySource) {
    this.#source = source;
    this.#panel.open = !matchMedia(PHONE).matches;
    this.#canvas.height = CHART_HEIGHT;
    new IntersectionObserver((entries) => {
      this.#isSeen = entries.at(-1)?.isIntersecting ?? false;
      this.#run();
    }).observe(this.#canvas);
    new ResizeObserver(() => this.#forget()).observe(this.#canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#forget());
    this.#copy.addEventListener('click', () => void this.#copyFingerprint());
    // Pages that came over plain http from another host have no clipboard.
    this.#copy.hidden = navigator.clipboard === undefined;
    this.update();
  }

  /** Something may have changed. */
  update(): void {
    const { version } = this.#source.continuity;
    if (version === this.#written) return;
    this.#written = version;
    this.#write();
  }

  /** Browsers call back before they paint, and not at all while nobody looks. */
  #run(): void {
    cancelAnimationFrame(this.#frame);
    if (!this.#isSeen) return;
    this.#frame = requestAnimationFrame(() => {
      this.#draw();
      this.#run();
    });
  }

  #forget(): void {
    this.#palette = undefined;
    this.#drawn = undefined;
  }

  #draw(): void {
    const { continuity } = this.#source;
    const step = this.#calm.matches ? CALM_STEP_MS : STEP_MS;
    const now = Math.floor(monotonicNow() / step) * step;
    const drawn = `${now} ${continuity.version}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const context = this.#canvas.getContext('2d');
    if (context === null) return;
    const width = this.#canvas.clientWidth;
    const ratio = devicePixelRatio;
    const [pixels, lines] = [Math.round(width * ratio), Math.round(CHART_HEIGHT * ratio)];
    if (this.#canvas.width !== pixels) this.#canvas.width = pixels;
    if (this.#canvas.height !== lines) this.#canvas.height = lines;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#palette ??= this.#readPalette();
    context.font = `${LABEL_SIZE}px ${this.#palette.font}`;
    const widthOf = (text: string): number => context.measureText(text).width;
    const layout = layOut(continuity, { width, ratio, now, widthOf });
    drawTimeline(context, layout, this.#palette, width);
    const marks = continuity.marks(now).filter(({ at }) => at >= now - layout.seconds * 1_000);
    const label = describeTimeline(continuity.outages, marks, layout.seconds);
    if (this.#canvas.ariaLabel !== label) this.#canvas.ariaLabel = label;
    const isOver =
      continuity.outages.at(-1)?.backAt !== undefined && continuity.standingSince(now) === undefined;
    // Its row counts the seconds, and once more when it is over.
    const second = Math.floor(now / CALM_STEP_MS);
    if ((!isOver || !this.#wasOver) && second !== this.#second) {
      this.#writeOutages();
      this.#second = second;
      this.#wasOver = isOver;
    }
  }

  /** From elements that CSS has coloured: a canvas does not know its variables. */
  #readPalette(): Palette {
    const colorOf = (name: string): string =>
      getComputedStyle(find(`continuity-key-${name}`, HTMLElement)).color;
    const { color, fontFamily } = getComputedStyle(this.#canvas);
    return {
      text: color,
      quiet: getComputedStyle(this.#bars).color,
      tones: [colorOf('even'), colorOf('odd')],
      marks: {
        gone: colorOf('gone'),
        back: colorOf('back'),
        media: colorOf('media'),
        keys: colorOf('keys'),
      },
      absence: colorOf('gone'),
      font: fontFamily,
    };
  }

  #write(): void {
    const { continuity, state } = this.#source;
    const { seal, outages } = continuity;
    const { title, text } = describeSeal(continuity);
    const { sha256 } = seal.certificates;
    if (this.#section.dataset.seal !== seal.state) this.#section.dataset.seal = seal.state;
    write(this.#title, title);
    write(this.#text, text);
    write(this.#epoch, String(seal.handshake?.epoch ?? state.epoch ?? 'none yet'));
    write(this.#fingerprint, sha256 === '' ? 'not seen yet' : shortFingerprint(sha256));
    this.#fingerprint.title = wholeFingerprint(sha256);
    write(this.#whole, wholeFingerprint(sha256));
    const latest = outages.at(-1);
    write(this.#brief, latest === undefined ? title : `${title} · ${summarize(latest)}`);
    write(this.#bars, state.role === 'broadcaster' ? 'your picture, while connected' : 'frames shown');
    this.#writeOutages();
  }

  #writeOutages(): void {
    const { outages } = this.#source.continuity;
    const now = monotonicNow();
    const standing = this.#source.continuity.standingSince(now);
    hide(this.#none, outages.length > 0);
    hide(this.#table, outages.length === 0);
    for (const [number, row] of this.#rows) {
      if (outages.some((outage) => outage.number === number)) continue;
      row.remove();
      this.#rows.delete(number);
    }
    for (const outage of outages)
      this.#writeRow(
        this.#rowOf(outage),
        outage,
        describeOutage(outage, now, outage === outages.at(-1) ? standing : undefined),
      );
  }

  #rowOf(outage: Outage): HTMLTableRowElement {
    const known = this.#rows.get(outage.number);
    if (known !== undefined) return known;
    // The newest comes first.
    const row = this.#table.tBodies[0]!.insertRow(0);
    this.#rows.set(outage.number, row);
    const heading = document.createElement('th');
    heading.scope = 'row';
    const at = new Date(Date.now() - (monotonicNow() - outage.lostAt));
    const time = document.createElement('time');
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleTimeString();
    heading.append(document.createElement('span'), ' ', time);
    row.append(heading);
    for (const { textContent } of [...this.#table.tHead!.rows[0]!.cells].slice(1))
      row.insertCell().dataset.label = textContent;
    return row;
  }

  #writeRow(row: HTMLTableRowElement, outage: Outage, words: OutageWords): void {
    for (const [i, column] of COLUMNS.entries()) {
      const cell = row.cells[i]!;
      write(i === 0 ? (cell.firstElementChild as HTMLElement) : cell, words[column]);
    }
    const { gap, rekey, restarted, epochBefore } = outage;
    const data: Readonly<Record<string, string | number | undefined>> = {
      number: outage.number,
      restarted: restarted === undefined ? undefined : String(restarted),
      downtimeMs: rounded(downtimeOf(outage)),
      gapMs: rounded(gap && lengthOf(gap)),
      beyondMs: rounded(beyondOf(outage)),
      rekeyMs: rounded(rekey && durationOf(rekey)),
      way: rekey?.way,
      epochBefore,
      epochAfter: rekey?.epoch,
    };
    for (const [name, value] of Object.entries(data)) {
      const text = String(value ?? '');
      if (row.dataset[name] !== text) row.dataset[name] = text;
    }
  }

  async #copyFingerprint(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.#whole.textContent);
      this.#copy.textContent = 'Copied';
    } catch {
      this.#copy.textContent = 'Could not copy';
    }
    setTimeout(() => {
      this.#copy.textContent = 'Copy';
    }, COPIED_MS);
  }
}

const rounded = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.round(ms);
