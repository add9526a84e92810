/**
 * The new server's side of a takeover.
 *
 *   new server                                   old server
 *   keys, libraries, identity tried
 *   {"command":"handover",…} ──────────────────▶ (new keys for everybody,) identity written: media goes on so far
 *                                                last media snapshot, ports and directories let go
 *                            ◀────────────────── {"ok":true,"pid":…}, exit 0
 *   binds, takes the snapshots, forwards
 *
 * Whatever fails on the left before the answer leaves the server on the right as it was: it looks whether it is still waited for before it lets go.
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { RekeycastError } from '../errors.ts';
import { adminSocketPath } from '../keyring/admin-protocol.ts';
import type { Logger } from '../log.ts';
import type { InheritedSockets } from '../server/inherited-sockets.ts';
import { AdminSocket } from '../signaling/admin.ts';
import { readRunFile } from '../snapshot/run-file.ts';
import { chooseRuntimeDir } from '../snapshot/runtime-dir.ts';
import { askServer, refusalOf } from './admin-client.ts';

/** New keys for everybody take ten seconds at most, and the last snapshots a moment; a disk that hangs is given up after twice five seconds. */
const PATIENCE_MS = 30_000;
const GOING_TRIES = 10;
const GOING_INTERVAL_MS = 50;

export interface Takeover {
  /** Has the server hand over. Throws `HANDOVER_REFUSED` where it does not, and goes on. */
  take(): Promise<void>;
  /** What has become of it so far, in words. */
  readonly standing: string;
}

/** `undefined` where no server runs on these directories: there is nothing to take over. Throws `CONFIG_INVALID` where it could only be lossy. */
export async function findPredecessor(
  config: Config,
  log: Logger,
  { inherited, stop }: { readonly inherited: InheritedSockets; readonly stop: AbortSignal },
): Promise<Takeover | undefined> {
  const stateDir = resolve(config.stateDir);
  const report = (): void => undefined;
  const own = chooseRuntimeDir({
    given: config.runtimeDir,
    stateDir,
    env: process.env,
    report,
    prepare: false,
  });
  const run = readRunFile(stateDir);
  const socket = run?.adminSocket ?? resolve(adminSocketPath(stateDir, own));
  if (!(await AdminSocket.isServed(socket))) {
    log.info({ event: 'nothing-to-take-over', stateDir }, 'no server runs there: this one starts as usual');
    return undefined;
  }
  if (run?.runtimeDir !== undefined && (own === undefined || resolve(own) !== run.runtimeDir))
    throw new RekeycastError(
      'CONFIG_INVALID',
      `RUNTIME_DIR is ${own ?? 'nowhere'} here and ${run.runtimeDir} for the running server: its media contexts would be lost. Set it to the same; that server goes on`,
    );
  return new PredecessorTakeover(config, log, socket, inherited, stop);
}

class PredecessorTakeover implements Takeover {
  standing = 'the running server was not asked to hand over, and goes on';
  readonly #config: Config;
  readonly #log: Logger;
  readonly #socket: string;
  readonly #sockets: boolean;
  readonly #stop: AbortSignal;

  constructor(config: Config, log: Logger, socket: string, inherited: InheritedSockets, stop: AbortSignal) {
    this.#config = config;
    this.#log = log;
    this.#socket = socket;
    this.#sockets = inherited.udp !== undefined && inherited.tcp !== undefined;
    this.#stop = stop;
  }

  async take(): Promise<void> {
    const request = {
      command: 'handover',
      fresh: this.#config.handoff === 'fresh',
      sockets: this.#sockets,
    } as const;
    this.#log.info({ event: 'asking-to-hand-over' });
    const answer = await askServer(this.#socket, request, PATIENCE_MS, this.#stop);
    const why = refusalOf(answer);
    if (why === undefined) {
      this.standing =
        'the server before has handed over and ended: nobody is lost, all of it lies in the snapshots. Start a server again, this version or the one before, within SESSION_TTL';
      this.#log.info({ event: 'taken-over' });
      return;
    }
    // Not an answer, and nobody there: it has come to its end meanwhile, by itself or not, and what it left is what a kill leaves.
    if (answer.kind !== 'answer' && (await this.#hasGone())) {
      this.standing =
        'the server before has ended before it could hand over; what it has written last is there';
      this.#log.warn({ event: 'predecessor-gone', why }, `${this.standing}: this one starts as usual`);
      return;
    }
    this.standing = 'the running server was asked, did not hand over, and goes on if it can';
    throw new RekeycastError(
      'HANDOVER_REFUSED',
      answer.kind === 'answer'
        ? `the running server does not hand over (${why}). It was left as it is. A version that cannot hand over is restarted: SIGTERM, then serve`
        : `the running server does not answer (${why}). If it hangs, kill it and start as usual: nobody is lost`,
    );
  }

  /** The kernel takes the sockets of a killed process away one by one: it may seem to listen for a moment after it has hung up. */
  async #hasGone(): Promise<boolean> {
    for (let tries = 1; tries <= GOING_TRIES && !this.#stop.aborted; tries++) {
      if (!(await AdminSocket.isServed(this.#socket))) return true;
      await sleep(GOING_INTERVAL_MS);
    }
    return false;
  }
}
