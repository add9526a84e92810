import type { VisitState } from './connect.ts';
import type { Facts } from './facts.ts';
import { describeCertificate, describeGap, describeProblem, describeRole, describeState } from './words.ts';

/** The face of the page: writes facts into elements, and only what has changed (screen readers speak every change). */
export class View {
  readonly videos: readonly [HTMLVideoElement, HTMLVideoElement];
  readonly broadcast = find('broadcast', HTMLButtonElement);
  readonly stop = find('stop', HTMLButtonElement);
  readonly sound = find('sound', HTMLButtonElement);
  readonly #tokenForm = find('token-form', HTMLFormElement);
  readonly #token = find('token', HTMLInputElement);
  readonly #app = find('app', HTMLElement);
  readonly #state = find('state', HTMLElement);
  readonly #problem = find('problem', HTMLElement);
  readonly #notice = find('notice', HTMLElement);
  readonly #curtain = find('curtain', HTMLElement);
  readonly #badge = find('badge', HTMLElement);
  readonly #rows = {
    role: find('fact-role', HTMLElement),
    viewers: find('fact-viewers', HTMLElement),
    epoch: find('fact-epoch', HTMLElement),
    restarts: find('fact-restarts', HTMLElement),
    gap: find('fact-gap', HTMLElement),
    certificate: find('fact-certificate', HTMLElement),
    connections: find('fact-connections', HTMLElement),
  };

  constructor() {
    this.videos = [find('video-a', HTMLVideoElement), find('video-b', HTMLVideoElement)];
  }

  /** `entered` gets what the visitor has typed; it is not kept in the page. */
  onToken(entered: (token: string) => void): void {
    this.#tokenForm.addEventListener('submit', (event) => {
      event.preventDefault();
      const token = this.#token.value.trim();
      this.#token.value = '';
      if (token !== '') entered(token);
    });
  }

  render(facts: VisitState): void {
    this.#renderData(facts);
    write(this.#state, describeState(facts));
    write(this.#problem, describeProblem(facts.problem));
    write(this.#rows.role, describeRole(facts));
    write(this.#rows.viewers, String(facts.viewers));
    write(this.#rows.epoch, facts.epoch === undefined ? 'none yet' : String(facts.epoch));
    write(this.#rows.restarts, String(facts.restarts));
    write(this.#rows.gap, describeGap(facts));
    write(this.#rows.certificate, describeCertificate(facts));
    write(this.#rows.connections, String(facts.connections));
    write(this.#curtain, describeState(facts));
    write(this.#badge, facts.onAir ? 'Live' : 'Off air');
    this.#badge.classList.toggle('live', facts.onAir);
    this.#label(this.sound, facts.sound ? 'Mute' : 'Unmute', facts.sound ? '#i-sound' : '#i-sound-off');
    hide(this.#problem, facts.problem === undefined);
    hide(this.#notice, facts.problem === undefined);
    hide(this.#tokenForm, !facts.asksForToken);
    hide(this.#curtain, facts.picture);
    hide(this.sound, facts.role !== 'viewer' || !facts.picture);
    hide(this.broadcast, !facts.canBroadcast);
    hide(this.stop, !facts.canStop);
  }

  #label(button: HTMLElement, words: string, icon: string): void {
    const tip = button.querySelector('.tip');
    if (tip instanceof HTMLElement) write(tip, words);
    button.querySelector('use')?.setAttribute('href', icon);
  }

  #renderData(facts: Facts): void {
    const data: Readonly<Record<string, string | number | undefined>> = {
      role: facts.role,
      state: facts.state,
      epoch: facts.epoch,
      viewers: facts.viewers,
      onAir: String(facts.onAir),
      restarts: facts.restarts,
      connections: facts.connections,
      certificate: facts.certificate,
      certificateSha256: facts.certificateSha256,
      lastGapMs: facts.lastGapMs === undefined ? undefined : Math.round(facts.lastGapMs),
      frames: facts.frames,
      instance: facts.instance,
      error: facts.problem,
    };
    for (const [name, value] of Object.entries(data)) {
      const text = String(value ?? '');
      if (this.#app.dataset[name] !== text) this.#app.dataset[name] = text;
    }
  }
}

function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function hide(element: HTMLElement, hidden: boolean): void {
  if (element.hidden !== hidden) element.hidden = hidden;
}

function find<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new TypeError(`the page has no #${id}`);
  return element;
}
