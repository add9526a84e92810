import { DEMO_ACTIONS, type DemoAction } from '../signaling/protocol.ts';
import { monotonicNow } from '../util/clock.ts';
import { Demo, type DemoFacts } from './demo.ts';
import { find, hide, write } from './dom.ts';

/** The buttons of the demonstration in the page: hidden until the server offers them. */
export class DemoView {
  readonly #demo = new Demo();
  readonly #send: (action: DemoAction) => void;
  readonly #section = find('demo', HTMLElement);
  readonly #buttons: ReadonlyMap<DemoAction, HTMLButtonElement> = new Map(
    DEMO_ACTIONS.map((action) => [action, find(`demo-${action}`, HTMLButtonElement)]),
  );
  readonly #show = find('demo-show', HTMLButtonElement);
  readonly #outcome = find('demo-outcome', HTMLElement);
  /** The button that was pressed: a browser takes the focus away from what it disables. */
  #focused: HTMLButtonElement | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param send presses a button at the server */
  constructor(send: (action: DemoAction) => void) {
    this.#send = send;
    for (const [action, button] of this.#buttons)
      button.addEventListener('click', () => {
        this.#focused = button;
        this.#demo.press(action, monotonicNow());
        this.#settle();
      });
    this.#show.addEventListener('click', () => {
      this.#demo.toggleShow(monotonicNow());
      this.#settle();
    });
  }

  render(facts: DemoFacts): void {
    this.#demo.observe(facts, monotonicNow());
    this.#settle();
  }

  #settle(): void {
    for (let action = this.#demo.pollPress(); action !== undefined; action = this.#demo.pollPress())
      this.#send(action);
    this.#draw();
    clearTimeout(this.#timer);
    const due = this.#demo.nextTimeout();
    if (due === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#demo.handleTimeout(monotonicNow());
        this.#settle();
      },
      Math.max(0, due - monotonicNow()),
    );
  }

  #draw(): void {
    const { shown, pressable, underWay, showing, canShow, outcome } = this.#demo.face;
    hide(this.#section, !shown);
    for (const [action, button] of this.#buttons) button.disabled = !pressable.has(action);
    this.#show.disabled = !canShow;
    write(this.#show, showing ? 'That is enough' : 'Show me');
    write(this.#outcome, outcome);
    this.#section.dataset.underWay = underWay ?? '';
    this.#section.dataset.showing = String(showing);
    if (this.#focused === undefined || this.#focused.disabled) return;
    if (document.activeElement === document.body) this.#focused.focus();
    this.#focused = undefined;
  }
}
