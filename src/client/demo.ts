import type { DemoAction } from '../signaling/protocol.ts';
import { earliest, type Millis } from '../util/clock.ts';
import { DEMO_STEPS, describeDone, LATE_WORDS, SHOW_OVER, UNDER_WAY } from './demo-words.ts';
import type { Facts } from './facts.ts';

/** What is looked at to see what has come of a button: the page's own observations, not the server's word. */
export type DemoFacts = Pick<
  Facts,
  'demo' | 'state' | 'role' | 'picture' | 'instance' | 'epoch' | 'connections' | 'lastGapMs' | 'frames'
>;

/** What the buttons look like. */
export interface DemoFace {
  readonly shown: boolean;
  /** What may be pressed now. */
  readonly pressable: ReadonlySet<DemoAction>;
  readonly underWay: DemoAction | undefined;
  /** All of it is shown, one after another. */
  readonly showing: boolean;
  readonly canShow: boolean;
  readonly outcome: string;
}

/** Time to read what is about to happen, and what has happened. */
export const LEAD_MS = 4_000;
export const READ_MS = 8_000;
/** A server that has not come back by then does not without help. */
export const PATIENCE_MS = 30_000;
/** A page that is back shows its picture well before; one that is not looked at shows none. */
export const SETTLE_MS = 8_000;
/** So many frames are a picture that moves. */
const MOVING_FRAMES = 5;
const NOTHING: ReadonlySet<DemoAction> = new Set();

/** Of a button that was pressed on this page. */
interface Press {
  readonly action: DemoAction;
  readonly before: DemoFacts;
  /** When it is given up. */
  deadline: Millis;
  /** Another server has welcomed this page: how many frames it had shown then. */
  backAt: number | undefined;
}

type Show =
  /** What comes next was said, and is done when it was read. */
  | { readonly kind: 'lead'; readonly step: number; readonly until: Millis }
  | { readonly kind: 'pressed'; readonly step: number }
  /** What came of it is read. */
  | { readonly kind: 'read'; readonly step: number; readonly until: Millis };

/**
 * The buttons of the demonstration as a state machine: tell it the facts whenever they change, and draw its face; what is to be pressed comes out of
 * {@link pollPress}.
 *
 *   1. press ─▶ pressed ─▶ (another server says welcome, new keys, the picture moves) ─▶ outcome
 *                       ─▶ (rotate, or a failure: the server says what came of it) ─▶ outcome
 *   2. show ─▶ lead ─▶ press ─▶ outcome ─▶ read ─▶ the next one
 */
export class Demo {
  #facts: DemoFacts | undefined;
  #press: Press | undefined;
  #show: Show | undefined;
  #outcome = '';
  readonly #presses: DemoAction[] = [];

  get face(): DemoFace {
    const offered = this.#facts?.demo?.actions ?? [];
    const free = this.#press === undefined && offered.length > 0;
    return {
      shown: this.#facts?.demo !== undefined,
      pressable: free && this.#show === undefined ? new Set(offered) : NOTHING,
      underWay: this.#press?.action,
      showing: this.#show !== undefined,
      canShow: this.#show !== undefined || free,
      outcome: this.#outcome,
    };
  }

  observe(facts: DemoFacts, now: Millis): void {
    const before = this.#facts?.demo?.outcome;
    this.#facts = facts;
    const press = this.#press;
    if (press === undefined) return;
    const said = facts.demo?.outcome;
    if (said !== undefined && said !== before && said.action === press.action)
      this.#over(said.words, said.done, now);
    else if (press.action !== 'rotate') this.#lookFor(press, facts, now);
  }

  press(action: DemoAction, now: Millis): void {
    if (this.face.pressable.has(action)) this.#begin(action, now);
  }

  /** Shows all of it, or stops doing so; what is under way goes on. */
  toggleShow(now: Millis): void {
    if (this.#show !== undefined) this.#show = undefined;
    else if (this.face.canShow) this.#lead(0, now);
  }

  nextTimeout(): Millis | undefined {
    const show = this.#show;
    return earliest(
      this.#press?.deadline,
      show === undefined || show.kind === 'pressed' ? undefined : show.until,
    );
  }

  handleTimeout(now: Millis): void {
    const press = this.#press;
    if (press !== undefined && now >= press.deadline) {
      if (press.backAt === undefined) this.#over(LATE_WORDS, false, now);
      else this.#settled(press, now);
    }
    const show = this.#show;
    if (show === undefined || show.kind === 'pressed' || now < show.until) return;
    if (show.kind === 'lead') this.#perform(show.step, now);
    else this.#lead(show.step + 1, now);
  }

  /** A button that is to be pressed at the server. */
  pollPress(): DemoAction | undefined {
    return this.#presses.shift();
  }

  #begin(action: DemoAction, now: Millis): void {
    const before = this.#facts!;
    this.#press = { action, before, deadline: now + PATIENCE_MS, backAt: undefined };
    if (this.#show === undefined) this.#outcome = UNDER_WAY[action];
    this.#presses.push(action);
  }

  /** Whether another server is there, and all is as it should be. */
  #lookFor(press: Press, facts: DemoFacts, now: Millis): void {
    const { before } = press;
    if (facts.instance === before.instance) return;
    if (press.backAt === undefined) {
      press.backAt = facts.frames;
      press.deadline = now + SETTLE_MS;
    }
    const up = facts.state === 'live' || facts.state === 'waiting';
    const rekeyed = before.epoch === undefined || (facts.epoch !== undefined && facts.epoch > before.epoch);
    const moves = !facts.picture || facts.frames - press.backAt >= MOVING_FRAMES;
    if (up && rekeyed && moves) this.#settled(press, now);
  }

  #settled({ action, before }: Press, now: Millis): void {
    this.#over(describeDone(action, before, this.#facts!), true, now);
  }

  #over(words: string, done: boolean, now: Millis): void {
    this.#press = undefined;
    const show = this.#show;
    this.#outcome = show !== undefined && done ? `${words} ${DEMO_STEPS[show.step]!.look}` : words;
    if (show === undefined) return;
    // What has failed is no show.
    this.#show = done ? { kind: 'read', step: show.step, until: now + READ_MS } : undefined;
  }

  #lead(step: number, now: Millis): void {
    const next = DEMO_STEPS[step];
    this.#show = next && { kind: 'lead', step, until: now + LEAD_MS };
    this.#outcome = next === undefined ? SHOW_OVER : next.lead;
  }

  #perform(step: number, now: Millis): void {
    const { action } = DEMO_STEPS[step]!;
    // Somebody else's is under way, or the page is not back yet.
    if (!this.#facts!.demo!.actions.includes(action)) {
      this.#show = { kind: 'lead', step, until: now + LEAD_MS };
      return;
    }
    this.#show = { kind: 'pressed', step };
    this.#begin(action, now);
  }
}
