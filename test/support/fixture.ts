import { afterAll, afterEach, beforeAll, onTestFinished } from 'vitest';
import { Broadcast, type BroadcastOptions } from './broadcast.ts';
import { ChromiumBrowser, type ChromiumOptions } from './chromium.ts';
import { FirefoxBrowser } from './firefox.ts';
import { type ServerOptions, ServerProcess } from './process.ts';

const LAUNCH_TIMEOUT_MS = 300_000;

/** A broadcast with viewers that lives as long as the test. */
export async function startBroadcast(options: BroadcastOptions = {}): Promise<Broadcast> {
  const broadcast = await Broadcast.start(options);
  keep(broadcast);
  return broadcast;
}

/** Has a broadcast that all tests of a file share tell how it stands where one of them fails. */
export function describeFailures(broadcast: () => Broadcast | undefined): void {
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(await broadcast()?.describe());
  });
}

/** A server with relays and a browser, nobody there yet, that lives as long as the test. */
export async function prepareBroadcast(options: BroadcastOptions = {}): Promise<Broadcast> {
  const broadcast = await Broadcast.prepare(options);
  keep(broadcast);
  return broadcast;
}

/** Ports and directories of a server, not running yet, that lives as long as the test. */
export async function prepareServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const server = await ServerProcess.prepare(options);
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(server.describe());
    await server.dispose();
  });
  return server;
}

export async function runningServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const server = await prepareServer(options);
  await server.start();
  return server;
}

/** One Chromium for all tests of a file. */
export const sharedBrowser = (options?: ChromiumOptions): (() => ChromiumBrowser) =>
  shared(() => ChromiumBrowser.launch(options));

/** One Firefox for all tests of a file. */
export const sharedFirefox = (): (() => FirefoxBrowser) => shared(() => FirefoxBrowser.launch());

/** One of a browser for all tests of a file. */
export function shared<Browser extends { close(): Promise<void> }>(
  launch: () => Promise<Browser>,
): () => Browser {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launch();
  }, LAUNCH_TIMEOUT_MS);
  afterAll(() => browser?.close());
  return () => {
    if (browser === undefined) throw new Error('the browser is not there yet');
    return browser;
  };
}

function keep(broadcast: Broadcast): void {
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(await broadcast.describe());
    await broadcast.dispose();
  });
}
