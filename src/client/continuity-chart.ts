import { type Flag, LANES, type Layout } from './continuity-layout.ts';

/** What it is drawn with, as CSS has computed it. */
export interface Palette {
  readonly text: string;
  readonly quiet: string;
  readonly tones: readonly [string, string];
  readonly marks: Readonly<Record<Flag['kind'], string>>;
  readonly absence: string;
  readonly font: string;
}

const LANE_HEIGHT = 15;
const BARS_TOP = LANES * LANE_HEIGHT + 8;
const BARS_HEIGHT = 76;
const AXIS_HEIGHT = 20;
const LABEL_BASELINE = 11;

export const CHART_HEIGHT = BARS_TOP + BARS_HEIGHT + AXIS_HEIGHT;
export const LABEL_SIZE = 11;

const MIDDLE = BARS_TOP + BARS_HEIGHT / 2;

/** Bars to both sides of a middle line, as sound is drawn; where there are none, nothing is drawn. */
export function drawTimeline(
  context: CanvasRenderingContext2D,
  layout: Layout,
  palette: Palette,
  width: number,
): void {
  context.clearRect(0, 0, width, CHART_HEIGHT);
  drawAbsences(context, layout, palette);
  drawBars(context, layout, palette);
  drawAxis(context, layout, palette, width);
  for (const flag of layout.marks) drawFlag(context, flag, palette);
}

function drawAbsences(context: CanvasRenderingContext2D, { absences }: Layout, palette: Palette): void {
  context.fillStyle = palette.absence;
  context.globalAlpha = 0.12;
  for (const { x, width } of absences) context.fillRect(x, BARS_TOP, width, BARS_HEIGHT);
  context.globalAlpha = 1;
}

function drawBars(context: CanvasRenderingContext2D, { bars }: Layout, palette: Palette): void {
  for (const { x, width, level, watching, tone } of bars) {
    if (level > 0) {
      const height = Math.max(3, level * BARS_HEIGHT);
      context.fillStyle = palette.tones[tone];
      context.fillRect(x, MIDDLE - height / 2, width, height);
    } else if (watching !== 'picture') {
      // Nothing was missed: a thread goes on.
      context.fillStyle = palette.quiet;
      context.globalAlpha = watching === 'hidden' ? 0.7 : 0.35;
      context.fillRect(x, MIDDLE - 0.5, width, 1);
      context.globalAlpha = 1;
    }
  }
}

function drawAxis(
  context: CanvasRenderingContext2D,
  { ticks }: Layout,
  palette: Palette,
  width: number,
): void {
  const bottom = BARS_TOP + BARS_HEIGHT;
  context.fillStyle = palette.quiet;
  context.font = `${LABEL_SIZE}px ${palette.font}`;
  for (const { x, label } of ticks) {
    context.globalAlpha = 0.5;
    context.fillRect(Math.min(Math.round(x), width - 1), bottom + 2, 1, 4);
    context.globalAlpha = 1;
    context.textAlign = x >= width ? 'right' : 'center';
    context.fillText(label, x, bottom + AXIS_HEIGHT - 3);
  }
}

function drawFlag(context: CanvasRenderingContext2D, flag: Flag, palette: Palette): void {
  const { kind, lane, label, labelX } = flag;
  const x = Math.round(flag.x);
  const top = lane === undefined ? BARS_TOP : lane * LANE_HEIGHT + 2;
  context.fillStyle = palette.marks[kind];
  context.fillRect(x, top, 1, BARS_TOP + BARS_HEIGHT - top);
  if (lane === undefined) return;
  context.beginPath();
  context.arc(x + 0.5, top + 4.5, 2.5, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = palette.text;
  context.font = `${LABEL_SIZE}px ${palette.font}`;
  context.textAlign = 'left';
  context.fillText(label, labelX + (labelX > flag.x ? 2 : -2), lane * LANE_HEIGHT + LABEL_BASELINE);
}
