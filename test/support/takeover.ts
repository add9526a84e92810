import { expect } from 'vitest';
import type { Run, ServerProcess } from './process.ts';
import { resumes } from './visitor.ts';
import { until } from './wait.ts';
import type { WsClient } from './ws-client.ts';

/** What the command is told that starts a server in the place of another. */
export const TAKEOVER = ['serve', '--takeover'] as const;

/** A takeover that has asked a server which is stopped and cannot answer. Gives that one. */
export async function askedWhileStopped(server: ServerProcess): Promise<Run> {
  server.signal('SIGSTOP');
  const { before, run } = server.spawnBeside(TAKEOVER);
  await until('it asks', () => run.stdout.includes('"asking-to-hand-over"'));
  return before;
}

/** The server goes on as before with its page, and can still hand over. */
export async function expectUntouched(server: ServerProcess, page: WsClient): Promise<void> {
  expect(await server.isReady()).toBe(true);
  expect(page.closeCode).toBeUndefined();
  expect(server.events('started').length).toBe(1);
  const { before } = server.spawnBeside(TAKEOVER);
  await until('the first has ended', () => before.exit);
  await server.ready();
  expect(await resumes(server, page)).toBe(true);
}
