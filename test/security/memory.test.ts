import { spawn } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { NAMED_GROUP } from '../../src/transport/dtls/key-exchange.ts';
import { concat, fromHex, toHex, utf8 } from '../../src/util/bytes.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import type { ServerKnobs } from '../support/dtls-server.ts';
import { handshakeForms, lastRoundKey } from '../support/key-forms.ts';
import {
  everybodyKeyed,
  type Hit,
  keysOf,
  MemoryScanner,
  oldKeysCollected,
  type Pattern,
} from '../support/memory.ts';
import { OpenPage } from '../support/open-page.ts';
import { belongingTo, scalarsIn } from '../support/private-keys.ts';
import { ServerProcess } from '../support/process.ts';
import { HmacSha1, paddedWords } from '../support/sha1.ts';
import { Thief } from '../support/thief.ts';
import { until } from '../support/wait.ts';

/** Every profile, key exchange and suite that there is, each at one of the pages. */
const PAGES: readonly (ServerKnobs & { readonly name: string })[] = [
  { name: 'broadcaster', profile: 'AES_CM_128_HMAC_SHA1_80', group: NAMED_GROUP.secp256r1 },
  { name: 'viewer in counter mode', profile: 'AES_CM_128_HMAC_SHA1_80', suite: 0xc02c },
  { name: 'viewer in GCM', profile: 'AEAD_AES_128_GCM', group: NAMED_GROUP.secp256r1, suite: 0xc02c },
  { name: 'viewer in GCM-256', profile: 'AEAD_AES_256_GCM' },
];
let server: ServerProcess;
const pages: OpenPage[] = [];
/** What was found where, by the moment. */
const found = new Map<string, readonly Hit[]>();

/** Public keys, in hex, whose private key was found. */
const privateKeys: string[] = [];
/** RFC 7748 §6.1: Alice's. */
const X25519_CONTROL = {
  privateKey: '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
  share: fromHex('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'),
};

beforeAll(async () => {
  await loadSodium();
  server = await ServerProcess.start({ env: { LOG_LEVEL: 'debug' } });
  for (const [seed, { name, ...knobs }] of PAGES.entries()) {
    const page = await OpenPage.open({ name, seed, url: server.url, udpPort: server.udpPort, knobs });
    pages.push(page);
    await page.onAir(1);
  }
  await look('first run', [...handshakes(), ...snapshotKeys(), ...keysInUse()]);

  await server.restart(100);
  await everybodyOnOthers(async () => {
    for (const page of pages) await page.comeBack();
  });
  await oldKeysCollected(server);
  await look('resume', keysBefore());
  await look('resume: other', [...handshakes(), ...snapshotKeys(), ...keysInUse(), ...certificate()]);

  const closed = closedConnections();
  await everybodyOnOthers(() => askServer(server.adminSocket, { command: 'rekey' }));
  await until('the old connections are closed', () => closedConnections() >= closed + pages.length);
  await oldKeysCollected(server);
  await look('order', keysBefore());
  await look('order: other', [...handshakes(), ...snapshotKeys(), ...keysInUse()]);

  const shares = pages.flatMap(({ browser }) =>
    browser.associations.map(({ secrets }) => secrets.clientShare.slice()),
  );
  const scalars = await scalarsIn(server.run.pid);

  const [leaver] = pages.slice(-1) as [OpenPage];
  const theirs = leaver.browser.associations.flatMap((_, number) => keysOf(leaver, number));
  leaver.leave();
  await until('they have left', () => server.events('session-closed').length === 1);
  await oldKeysCollected(server);
  await look('leave', theirs);

  // Last: meanwhile nobody would be answered.
  privateKeys.push(...belongingTo(scalars, [...shares, certificatePoint()]));
  privateKeys.push(...(await inAnotherProcess(X25519_CONTROL.privateKey, X25519_CONTROL.share)));
}, 600_000);

afterAll(async () => {
  for (const page of pages) page.close();
  await server.dispose();
});

describe('the memory of the server', () => {
  it('memory-control: is searched to the end: the keys in use and the certificate key are found', () => {
    for (const moment of ['first run', 'resume: other', 'order: other']) {
      for (const { name } of PAGES) {
        expect(namesAt(moment)).toContain(`${name} in use local master key`);
        expect(namesAt(moment)).toContain(`${name} in use remote rtcp encryption key`);
      }
    }
    expect(namesAt('resume: other')).toContain('certificate key');
  });

  it('memory-forms: is searched for what AES and HMAC make of a key, as the standards have it', () => {
    // FIPS 197 appendix A.1 and A.3.
    expect(toHex(lastRoundKey(fromHex('2b7e151628aed2a6abf7158809cf4f3c')))).toBe(
      'd014f9a8c9ee2589e13f0cc8b6630ca6',
    );
    const long = fromHex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4');
    expect(toHex(lastRoundKey(long))).toBe('fe4890d1e6188d0b046df344706c631e');
    // RFC 2202 §3, test case 2.
    const head = new HmacSha1()
      .setKey(utf8('Jefe'.padEnd(16, '\0')))
      .tagHead(paddedWords(utf8('what do ya want for nothing?'), 64));
    expect(head.map((word) => (word >>> 0).toString(16))).toEqual(['effcdf6a', 'e5eb2fa2']);
  });

  it('memory-resume: holds nothing of the keys that it went on with after a kill, once new ones are there', () => {
    expect(namesAt('resume')).toEqual([]);
  });

  it('memory-order: holds nothing of the keys before an ordered re-key', () => {
    expect(namesAt('order')).toEqual([]);
  });

  it('memory-leave: holds nothing of the keys of somebody who has left', () => {
    expect(namesAt('leave')).toEqual([]);
  });

  it('memory-handshake: holds no premaster secret, master secret or record key of a handshake that is over', () => {
    for (const moment of ['first run', 'resume: other', 'order: other'])
      expect(namesAt(moment).filter((name) => name.includes('handshake'))).toEqual([]);
  });

  it('memory-ecdhe: holds no private key of a key exchange, and would be found to', () => {
    expect(privateKeys).toEqual([toHex(certificatePoint()), toHex(X25519_CONTROL.share)]);
  });

  it('memory-snapshot-key: holds no snapshot secret key, whether it made it or has opened a snapshot with it', () => {
    for (const moment of ['first run', 'resume: other', 'order: other'])
      expect(namesAt(moment)).not.toContain('snapshot secret key');
  });
});

const namesAt = (moment: string): string[] => [...new Set(found.get(moment)!.map(({ name }) => name))].sort();

const closedConnections = (): number =>
  server.events('stale-keys-destroyed').filter(({ fields }) => fields.by === 'closed').length;

async function look(moment: string, patterns: readonly Pattern[]): Promise<void> {
  found.set(moment, await new MemoryScanner(patterns).scan(server.run.pid));
}

/** Everybody gets other keys, and sees the picture move under them. */
async function everybodyOnOthers(cause: () => Promise<unknown>): Promise<void> {
  const before = pages.map(({ browser }) => browser.associations.length);
  await cause();
  for (const [i, page] of pages.entries()) await page.onAir(before[i]! + 1);
  await everybodyKeyed(server, pages);
}

const keysInUse = (): Pattern[] =>
  pages.flatMap((page) => keysOf(page, page.browser.associations.length - 1));

const keysBefore = (): Pattern[] =>
  pages.flatMap((page) =>
    page.browser.associations.slice(0, -1).flatMap((_, number) => keysOf(page, number)),
  );

const handshakes = (): Pattern[] =>
  pages.flatMap(({ browser }) =>
    browser.associations.flatMap((association) => handshakeForms(`${browser.name} handshake`, association)),
  );

/** Without the first and the last byte, which X25519 sets bits of (RFC 7748 §5). */
function snapshotKeys(): Pattern[] {
  const { keys } = server.directories;
  const secrets = readdirSync(keys).filter((name) => name.endsWith('.secret'));
  expect(secrets.length).toBe(1);
  return secrets.map((name) => ({
    name: 'snapshot secret key',
    bytes: new Uint8Array(readFileSync(join(keys, name))).slice(1, -1),
  }));
}

function certificate(): Pattern[] {
  const scalar = Buffer.from(String(certificateKey().export({ format: 'jwk' }).d), 'base64url');
  return [{ name: 'certificate key', bytes: new Uint8Array(scalar) }];
}

function certificatePoint(): Uint8Array {
  const { x, y } = certificateKey().export({ format: 'jwk' });
  return concat(
    Uint8Array.of(4),
    ...[x, y].map((part) => new Uint8Array(Buffer.from(String(part), 'base64url'))),
  );
}

function certificateKey(): KeyObject {
  const thief = new Thief();
  thief.copy(server.directories.keys);
  thief.copy(server.directories.state);
  thief.open();
  return thief.identity()!.privateKey;
}

/** Searches a process that holds this X25519 key as node:crypto does. */
async function inAnotherProcess(privateKey: string, share: Uint8Array): Promise<readonly string[]> {
  const pkcs8 = `302e020100300506032b656e04220420${privateKey}`;
  const program = `
    const key = Buffer.from('${pkcs8}', 'hex');
    globalThis.key = require('node:crypto').createPrivateKey({ key, format: 'der', type: 'pkcs8' });
    key.fill(0);
    process.stdout.write('ready');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    return belongingTo(await scalarsIn(child.pid!), [share]);
  } finally {
    child.kill('SIGKILL');
  }
}
