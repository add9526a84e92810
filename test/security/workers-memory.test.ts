import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import type { ServerKnobs } from '../support/dtls-server.ts';
import { handshakeForms } from '../support/key-forms.ts';
import { everybodyKeyed, keysOf, MemoryScanner, oldKeysCollected, type Pattern } from '../support/memory.ts';
import { OpenPage } from '../support/open-page.ts';
import { freePorts } from '../support/ports.ts';
import { ServerProcess } from '../support/process.ts';
import { Thief } from '../support/thief.ts';
import { until } from '../support/wait.ts';

const PAGES: readonly (ServerKnobs & { readonly name: string })[] = [
  { name: 'broadcaster', profile: 'AES_CM_128_HMAC_SHA1_80' },
  { name: 'viewer in counter mode', profile: 'AES_CM_128_HMAC_SHA1_80' },
  { name: 'viewer in GCM', profile: 'AEAD_AES_128_GCM' },
];
let server: ServerProcess;
const pages: OpenPage[] = [];
/** Names of what was found, by the moment. */
const found = new Map<string, ReadonlySet<string>>();

beforeAll(async () => {
  await loadSodium();
  server = await ServerProcess.prepare({
    udpPort: await freePorts(2),
    env: { LOG_LEVEL: 'debug', WORKERS: '1' },
  });
  await server.start();
  for (const [seed, { name, ...knobs }] of PAGES.entries()) {
    const page = await OpenPage.open({ name, seed, url: server.url, knobs });
    pages.push(page);
    await page.onAir(1);
  }
  await look('control', keys('in use'));

  await server.restart(100);
  await everybodyOnOthers(async () => {
    for (const page of pages) await page.comeBack();
  });
  await oldKeysCollected(server);
  await look('resume', gone());

  const closed = closedConnections();
  await everybodyOnOthers(() => askServer(server.adminSocket, { command: 'rekey' }));
  await until('the old connections are closed', () => closedConnections() >= closed + pages.length);
  await oldKeysCollected(server);
  await look('order', gone());
}, 600_000);

afterAll(async () => {
  for (const page of pages) page.close();
  await server.dispose();
});

it('workers-memory: neither thread holds anything of keys that were replaced, of a handshake that is over, or of the snapshot secret key', () => {
  expect([...found.get('resume')!]).toEqual([]);
  expect([...found.get('order')!]).toEqual([]);
});

it('workers-memory-control: the keys in use are found, of those in the worker too', () => {
  expect(pages.map(({ udpPort }) => udpPort - server.udpPort)).toEqual([0, 1, 1]);
  for (const { name } of PAGES) expect(found.get('control')).toContain(`${name} in use local master key`);
});

it('workers-memory-released: a worker that was let go leaves no copy of the certificate key, in a server that goes on', {
  timeout: 300_000,
}, async () => {
  const server = await ServerProcess.prepare({ udpPort: await freePorts(2), env: { WORKERS: '1' } });
  onTestFinished(() => server.dispose());
  await server.start();
  const key = certificateKeyOf(server);
  const copies = async (): Promise<number> => (await new MemoryScanner(key).scan(server.run.pid)).length;
  const withWorker = await copies();
  const alone = async (): Promise<number> => {
    await server.kill();
    server.spawnBeside(['serve'], { WORKERS: '0' });
    await server.ready();
    return copies();
  };
  // The first of the two finds the worker's folder, and that nobody is in it.
  const released = await alone();
  const neverHad = await alone();
  expect(released).toBe(neverHad);
  // The search finds those that are there.
  expect(withWorker).toBeGreaterThan(neverHad);
});

/** As it is written, and as big numbers are held. */
function certificateKeyOf({ directories }: ServerProcess): Pattern[] {
  const thief = new Thief();
  thief.copy(directories.keys);
  thief.copy(directories.state);
  thief.open();
  const { d } = thief.identity()!.privateKey.export({ format: 'jwk' });
  const scalar = new Uint8Array(Buffer.from(String(d), 'base64url'));
  return [
    { name: 'certificate key', bytes: scalar },
    { name: 'certificate key as a number', bytes: scalar.slice().reverse() },
  ];
}

const closedConnections = (): number =>
  server.events('stale-keys-destroyed').filter(({ fields }) => fields.by === 'closed').length;

async function look(moment: string, patterns: readonly Pattern[]): Promise<void> {
  const hits = await new MemoryScanner(patterns).scan(server.run.pid);
  found.set(moment, new Set(hits.map(({ name }) => name)));
}

async function everybodyOnOthers(cause: () => Promise<unknown>): Promise<void> {
  const before = pages.map(({ browser }) => browser.associations.length);
  await cause();
  for (const [i, page] of pages.entries()) await page.onAir(before[i]! + 1);
  await everybodyKeyed(server, pages);
}

const keys = (which: 'in use' | 'before'): Pattern[] =>
  pages.flatMap((page) => {
    const last = page.browser.associations.length - 1;
    const numbers = page.browser.associations.map((_, number) => number);
    return numbers
      .filter((number) => (number === last) === (which === 'in use'))
      .flatMap((number) => keysOf(page, number));
  });

/** What nobody is to have any more. */
function gone(): Pattern[] {
  const directory = server.directories.keys;
  const secrets = readdirSync(directory).filter((name) => name.endsWith('.secret'));
  return [
    ...keys('before'),
    ...pages.flatMap(({ browser }) =>
      browser.associations.flatMap((association) => handshakeForms(`${browser.name} handshake`, association)),
    ),
    // Without the first and the last byte, which X25519 sets bits of (RFC 7748 §5).
    ...secrets.map((name) => ({
      name: 'snapshot secret key',
      bytes: new Uint8Array(readFileSync(join(directory, name))).slice(1, -1),
    })),
  ];
}
