/**
 * What a supervised server and its supervisor say to each other, over the channel between a process and its parent (node:child_process, IPC).
 *
 *   server                        supervisor
 *   {type: ready} ──────────────▶
 *   {type: pressed, action} ────▶ kill: knows that the end that follows was asked for; deploy, rotate: does it
 *                 ◀────────────── {type: answer, action, done, words}
 *
 * Where the channel breaks the supervisor has gone, and its server ends.
 */
import * as z from 'zod/mini';
import type { DemoWorks } from '../server/demo-desk.ts';
import { DEMO_ACTIONS, type DemoAction, type DemoOutcome } from '../signaling/protocol.ts';

/** In the environment of a server that has a supervisor. */
export const SUPERVISED = 'REKEYCAST_SUPERVISED';

export type ToSupervisor =
  | { readonly type: 'ready' }
  | { readonly type: 'pressed'; readonly action: DemoAction };
export type ToServer = { readonly type: 'answer'; readonly action: DemoAction } & DemoOutcome;

const action = z.enum(DEMO_ACTIONS);
const toSupervisor = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready') }),
  z.strictObject({ type: z.literal('pressed'), action }),
]);
const toServer = z.strictObject({ type: z.literal('answer'), action, done: z.boolean(), words: z.string() });

export const parseToSupervisor = (message: unknown): ToSupervisor | undefined =>
  toSupervisor.safeParse(message).data;
const parseToServer = (message: unknown): ToServer | undefined => toServer.safeParse(message).data;

/** The server's end of it. */
export interface DemoChannel extends DemoWorks {
  ready(): void;
}

type Process = Pick<NodeJS.Process, 'connected' | 'on' | 'pid' | 'kill' | 'channel'> & {
  readonly send?: (message: ToSupervisor, sent: () => void) => unknown;
};

/** `undefined` where no supervisor has started this process. `gone` is called when it has ended. */
export function demoChannel(
  env: Readonly<Record<string, string | undefined>>,
  gone: () => void,
  self: Process = process,
): DemoChannel | undefined {
  const { send } = self;
  if (env[SUPERVISED] === undefined || send === undefined) return undefined;
  const waiting = new Map<DemoAction, (outcome: DemoOutcome) => void>();
  self.on('disconnect', gone);
  self.on('message', (message) => {
    const answer = parseToServer(message);
    if (answer === undefined) return;
    waiting.get(answer.action)?.({ done: answer.done, words: answer.words });
    waiting.delete(answer.action);
  });
  // A server that has ended everything else ends.
  self.channel?.unref();
  const say = (message: ToSupervisor): Promise<void> =>
    new Promise((resolve) => {
      if (self.connected) send.call(self, message, () => resolve());
      else resolve();
    });
  return {
    ready: () => void say({ type: 'ready' }),
    ask: (asked) =>
      new Promise((resolve) => {
        waiting.set(asked, resolve);
        void say({ type: 'pressed', action: asked });
      }),
    die: async () => {
      await say({ type: 'pressed', action: 'kill' });
      self.kill(self.pid, 'SIGKILL');
    },
  };
}
