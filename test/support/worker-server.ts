import { expect, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { toHex } from '../../src/util/bytes.ts';
import { runningServer } from './fixture.ts';
import { onFile } from './on-file.ts';
import { OpenPage } from './open-page.ts';
import { freePorts } from './ports.ts';
import type { ServerProcess } from './process.ts';

interface Status {
  readonly sessions: number;
  readonly facts: {
    readonly sessions: { readonly groups: readonly { readonly role: string; readonly count: number }[] };
    readonly workers?: readonly {
      readonly number: number;
      readonly udpPort: number;
      readonly sessions: number;
      readonly silentMs: number;
    }[];
  };
}

/** Loaded into a server by NODE_OPTIONS: see there. */
export const FAULTY_WORKER = new URL('./faulty-worker.mjs', import.meta.url).href;

/** A server with so many workers, which lives as long as the test. */
export async function startServer(
  workers: number,
  env: Readonly<Record<string, string>> = {},
  /** UDP ports behind each other that are free, one of them the server's. */
  ports = workers + 1,
): Promise<ServerProcess> {
  return runningServer({
    udpPort: await freePorts(ports),
    env: { WORKERS: String(workers), ...env },
  });
}

export async function openPage(server: ServerProcess, number: number): Promise<OpenPage> {
  const page = await OpenPage.open({ name: `page ${number}`, seed: 900 + number, url: server.url });
  onTestFinished(() => page.close());
  return page;
}

/** A broadcaster and so many viewers who see it, all of them on file. */
export async function broadcasting(server: ServerProcess, viewers: number): Promise<OpenPage[]> {
  const pages = [await openPage(server, 0)];
  await pages[0]!.onAir(1);
  for (let i = 1; i <= viewers; i++) pages.push(await openPage(server, i));
  for (const page of pages) await page.onAir(1);
  await onFile(server, pages.length);
  return pages;
}

export async function comeBack(pages: readonly OpenPage[], associations: number): Promise<void> {
  for (const page of pages) await page.comeBack();
  for (const page of pages) await page.onAir(associations);
}

export async function statusOf(server: ServerProcess): Promise<Status> {
  const answer = await askServer(server.adminSocket, { command: 'status' });
  if (answer.kind !== 'answer' || !answer.response.ok) throw new Error(JSON.stringify(answer));
  return answer.response as unknown as Status;
}

/** All under keys of their own, on the connection that they have had from the beginning. */
export function expectSameConnections(pages: readonly OpenPage[], associations: number): void {
  for (const { browser, refusals } of pages) {
    expect(browser.made).toBe(1);
    expect(refusals).toEqual([]);
    const keys = browser.associations.map(({ keys }) => toHex(keys.remote.key.bytes));
    expect(new Set(keys).size).toBe(associations);
  }
}
