import type { AdminRequest, AdminResponse, HandoverRequest } from '../keyring/admin-protocol.ts';
import type { Logger } from '../log.ts';
import type { Millis } from '../util/clock.ts';
import { DISK_PATIENCE_MS } from './rhythm.ts';

export type Order = Exclude<AdminRequest, HandoverRequest>;

const KEPT_SOCKETS: AdminResponse = {
  ok: false,
  error:
    'its ports belong to the service manager, which keeps what arrives while it is restarted: restart the unit instead',
};

export const ENDING = {
  ok: false,
  error: 'the server is about to end. Nothing was changed; ask again when it is gone, or the next one runs',
} as const satisfies AdminResponse;

const HANGING_DISK = {
  ok: false,
  error: `the disk under STATE_DIR has taken no identity for ${DISK_PATIENCE_MS / 1_000} s: this server goes on, and nothing was changed`,
} as const satisfies AdminResponse;

export interface AdminDeskOptions {
  readonly log: Logger;
  /** Its sockets are a service manager's: who takes over has to have them. */
  readonly keepsSockets: boolean;
  /** Keys of before a handover are never handed over. */
  readonly alwaysFresh: boolean;
  /** There is no way back from the end any more, whoever has asked for it. */
  readonly isEnding: () => boolean;
  readonly perform: (order: Order) => Promise<AdminResponse>;
  /** New keys for everybody, for as long as it takes or until `isGivenUp`. Gives since when there are no others, but of those whose pages are away or too slow. */
  readonly renewKeys: (isGivenUp: () => boolean) => Promise<Millis>;
  /** What was ordered is done, and on disk. Changes nothing that a server which goes on would miss. */
  readonly settle: () => Promise<'settled' | 'disk-hangs'>;
  /** Lets go of all there is; keys of before `since` are in no snapshot then. */
  readonly letGo: (since: Millis | undefined) => Promise<void>;
}

/**
 * What operators ask of a server, and other servers that are to take over. The end waits for what was asked before it ({@link settled}); what is asked
 * behind it, or during a handover, is refused, but for a look at the status. Until a handover lets go, nothing has changed for who hangs up.
 */
export class AdminDesk {
  readonly #options: AdminDeskOptions;
  /** What is not done yet. */
  readonly #underWay = new Set<Promise<unknown>>();
  #handingOver = false;

  constructor(options: AdminDeskOptions) {
    this.#options = options;
  }

  /** @param gone whoever has asked has hung up */
  async handle(request: AdminRequest, gone: AbortSignal): Promise<AdminResponse> {
    const refuses = this.#options.isEnding() || this.#handingOver;
    if (refuses && request.command !== 'status') return ENDING;
    if (request.command !== 'handover') return this.track(this.#options.perform(request));
    this.#handingOver = true;
    try {
      return await this.#handOver(request, gone);
    } finally {
      this.#handingOver = false;
    }
  }

  /** Has the end wait for this: it writes, and nothing may be written when the directories are another server's. */
  async track<Value>(work: Promise<Value>): Promise<Value> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  /** All that is under way now is done, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  /** To another server, which is warm. */
  async #handOver(request: HandoverRequest, gone: AbortSignal): Promise<AdminResponse> {
    const { log, keepsSockets, alwaysFresh, isEnding, renewKeys, settle, letGo } = this.#options;
    if (!request.sockets && keepsSockets) return KEPT_SOCKETS;
    const fresh = request.fresh || alwaysFresh;
    const isGivenUp = (): boolean => gone.aborted || isEnding();
    log.info({ event: 'handing-over', fresh });
    const since = fresh ? await renewKeys(isGivenUp) : undefined;
    const settled = await settle();
    if (isGivenUp()) {
      log.warn({ event: 'handover-cancelled' }, 'whoever was to take over has gone: nothing has changed');
      return ENDING;
    }
    if (settled === 'disk-hangs') {
      log.error({ event: 'handover-cancelled' }, HANGING_DISK.error);
      return HANGING_DISK;
    }
    await letGo(since);
    return { ok: true, pid: process.pid };
  }
}
