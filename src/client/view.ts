import type { VisitState } from './connect.ts';
import { find, hide, write } from './dom.ts';
import type { Facts, Problem } from './facts.ts';
import {
  describeBroadcast,
  describeCertificate,
  describeCurtain,
  describeGap,
  describeHint,
  describeProblem,
  describeRole,
  describeState,
  describeTime,
  describeTitle,
} from './words.ts';

/** There is a picture to be seen; a page whose visit is over has none, whatever the room had last. */
export const isShown = ({ picture, state }: Facts): boolean =>
  picture && state !== 'stopped' && state !== 'locked';

/** The face of the page: writes facts into elements. */
export class View {
  readonly videos: readonly [HTMLVideoElement, HTMLVideoElement];
  readonly #broadcast = find('broadcast', HTMLButtonElement);
  readonly #reload = find('reload', HTMLButtonElement);
  readonly #tokenForm = find('token-form', HTMLFormElement);
  readonly #token = find('token', HTMLInputElement);
  readonly #app = find('app', HTMLElement);
  readonly #state = find('state', HTMLElement);
  readonly #notice = find('notice', HTMLElement);
  readonly #problem = find('problem', HTMLElement);
  readonly #curtain = find('curtain', HTMLElement);
  readonly #hint = find('hint', HTMLElement);
  readonly #badge = find('badge', HTMLElement);
  readonly #time = find('on-air-time', HTMLElement);
  readonly #rows = {
    role: find('fact-role', HTMLElement),
    viewers: find('fact-viewers', HTMLElement),
    epoch: find('fact-epoch', HTMLElement),
    restarts: find('fact-restarts', HTMLElement),
    gap: find('fact-gap', HTMLElement),
    certificate: find('fact-certificate', HTMLElement),
    connections: find('fact-connections', HTMLElement),
  };
  #facts: VisitState | undefined;
  #watched = false;
  /** Of the page itself, not of the visit. */
  #own = '';
  #dismissed: Problem | undefined;

  constructor() {
    this.videos = [find('video-a', HTMLVideoElement), find('video-b', HTMLVideoElement)];
    this.#reload.addEventListener('click', () => location.reload());
    find('dismiss', HTMLButtonElement).addEventListener('click', () => {
      this.#own = '';
      this.#dismissed = this.#facts?.problem;
      this.#renderProblem();
    });
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

  /** Something of the page itself went wrong. */
  say(words: string): void {
    this.#own = words;
    this.#renderProblem();
  }

  render(facts: VisitState): void {
    if (facts.problem !== this.#facts?.problem) this.#dismissed = undefined;
    // Right after one's own broadcast the room still has it; nobody's frames come, though.
    if (facts.role === 'broadcaster') this.#watched = false;
    else if (this.#facts?.role === 'viewer') this.#watched ||= facts.frames > this.#facts.frames;
    this.#facts = facts;
    this.#renderData(facts);
    write(this.#state, describeState(facts));
    write(this.#curtain, describeCurtain(facts));
    const picture = isShown(facts);
    hide(this.#curtain, picture);
    const hint = picture ? describeHint(facts) : '';
    write(this.#hint, hint);
    hide(this.#hint, hint === '');
    write(this.#badge, facts.onAir ? 'Live' : 'Off air');
    this.#badge.classList.toggle('live', facts.onAir);
    write(this.#broadcast, describeBroadcast(this.#watched));
    hide(this.#tokenForm, !facts.asksForToken);
    hide(this.#reload, facts.state !== 'stopped');
    const title = describeTitle(facts);
    if (document.title !== title) document.title = title;
    this.#renderRows(facts);
    this.#renderProblem();
  }

  /** @param now on the clock of `Facts.onAirSince` */
  tick(now: number): void {
    const since = this.#facts?.onAirSince;
    write(this.#time, since === undefined ? '' : describeTime(now - since));
  }

  #renderRows(facts: Facts): void {
    write(this.#rows.role, describeRole(facts));
    write(this.#rows.viewers, String(facts.viewers));
    write(this.#rows.epoch, facts.epoch === undefined ? 'none yet' : String(facts.epoch));
    write(this.#rows.restarts, String(facts.restarts));
    write(this.#rows.gap, describeGap(facts));
    write(this.#rows.certificate, describeCertificate(facts));
    write(this.#rows.connections, String(facts.connections));
  }

  #renderProblem(): void {
    const { problem } = this.#facts ?? {};
    const words = this.#own === '' && problem !== this.#dismissed ? describeProblem(problem) : this.#own;
    write(this.#problem, words);
    hide(this.#problem, words === '');
    hide(this.#notice, words === '');
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
      seal: facts.seal,
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
