import {
  DEMO_ACTIONS,
  type DemoAction,
  type DemoOutcome,
  type ServerMessage,
} from '../signaling/protocol.ts';

/** By what the buttons of a demonstration work: somebody outside of this process, who starts the next one. */
export interface DemoWorks {
  /** Resolves with what has come of it; after a deploy that went well, nobody is left to hear it. */
  ask(action: Exclude<DemoAction, 'kill'>): Promise<DemoOutcome>;
  /** Ends this process, as `kill -9` does. */
  die(): Promise<void>;
}

export interface DemoDeskOptions {
  readonly works: DemoWorks;
  /** To every page that presents. */
  readonly tell: (message: ServerMessage) => void;
  /** Resolves when it is on record, since the process may be gone right behind it. */
  readonly note: (action: DemoAction) => Promise<void>;
  /** The works have thrown. */
  readonly failed: (action: DemoAction, error: unknown) => void;
}

const FAILED: DemoOutcome = {
  done: false,
  words: 'It could not be done, and the log of the server says why. The server goes on.',
};

/** The buttons of a demonstration: one at a time, whoever presses them. Who may was decided before. */
export class DemoDesk {
  readonly #options: DemoDeskOptions;
  #busy = false;

  constructor(options: DemoDeskOptions) {
    this.#options = options;
  }

  /** What a page is shown that has just been welcomed, and all of them when it changes. */
  offer(): ServerMessage {
    return { type: 'demo', actions: this.#busy ? [] : DEMO_ACTIONS };
  }

  /** Settles when it is over. A second one is not heard meanwhile: its page was told that there is nothing to be pressed. */
  async press(action: DemoAction): Promise<void> {
    if (this.#busy) return;
    const { works, tell, note, failed } = this.#options;
    this.#busy = true;
    tell(this.offer());
    let outcome: DemoOutcome;
    try {
      await note(action);
      if (action === 'kill') return await works.die();
      outcome = await works.ask(action);
    } catch (error) {
      failed(action, error);
      outcome = FAILED;
    }
    this.#busy = false;
    tell({ type: 'demo-outcome', action, ...outcome });
    tell(this.offer());
  }
}
