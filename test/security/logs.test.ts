import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { runKeys } from '../../src/cli/keys.ts';
import { rekey } from '../../src/cli/rekey.ts';
import { deriveWriterKey } from '../../src/keyring/writer-key.ts';
import { signingKey } from '../../src/server/certificate.ts';
import type { ServerMessage } from '../../src/signaling/protocol.ts';
import { decodeServer } from '../../src/snapshot/codec/identity.ts';
import { fromBase64Url, fromHex, toBase64Url } from '../../src/util/bytes.ts';
import { Secret } from '../../src/util/secret.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import { flipped } from '../support/flipped.ts';
import { OpenPage } from '../support/open-page.ts';
import { freePort, LOOPBACK } from '../support/ports.ts';
import { ServerProcess } from '../support/process.ts';
import { RawClient } from '../support/raw-http.ts';
import { forms, SecretSearch } from '../support/secret-search.ts';
import { TcpRelay } from '../support/tcp-relay.ts';
import { Thief } from '../support/thief.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

let server: ServerProcess;
let relay: TcpRelay;
let adminPort: number;
const pages: OpenPage[] = [];
const secrets = new SecretSearch();
/** What anybody may know of the run, and will find. */
const sessions = new Set<string>();
/** What the run has left or shown, by where that was; bytes as latin1. */
const traces = new Map<string, string>();
/** Kinds of secrets that the run has had. */
const kinds = new Set<string>();

beforeAll(async () => {
  await loadSodium();
  adminPort = await freePort();
  server = await ServerProcess.prepare({ env: { LOG_LEVEL: 'trace', ADMIN_PORT: String(adminPort) } });
  relay = await TcpRelay.start({ serverPort: server.port });
  relay.onBytes = (direction, bytes) => {
    const text = bytes.toString('latin1');
    // A WebSocket's frames are the page's own business; requests and answers of HTTP are what proxies write to their logs.
    const head = /^(?:GET|HEAD|POST) (\S+)/.exec(text)?.[1] ?? (text.startsWith('HTTP/1.1 ') ? text : '');
    note(
      direction === 'up' ? 'request targets' : 'answers over HTTP',
      direction === 'up' ? head : head.split('\r\n\r\n')[0]!,
    );
  };
  await server.start();
  noteProcess();
  await visit();
  await orders();
  await server.kill('SIGKILL');
  keepFiles();
  await server.start();
  noteProcess();
  for (const page of pages) await page.comeBack();
  await allOnAir(3);
  await annoy();
  note('metrics', await (await fetch(`http://${LOOPBACK}:${adminPort}/metrics`)).text());
  await server.kill('SIGTERM');
  keepFiles();
  for (const { browser } of pages) {
    for (const { keys, secrets: handshake } of browser.associations) {
      for (const { key, salt } of [keys.local, keys.remote]) {
        learn('SRTP master key', key.bytes);
        learn('SRTP master salt', salt.bytes);
      }
      learn('premaster secret', handshake.premaster.bytes);
      learn('master secret', handshake.master.bytes);
      learn('key block', handshake.keyBlock.bytes);
    }
  }
  for (const [i, run] of server.runs.entries()) {
    note(`standard output of run ${i}`, run.stdout);
    note(`standard error of run ${i}`, run.stderr);
  }
}, 300_000);

afterAll(async () => {
  for (const page of pages) page.close();
  await relay?.close();
  await server?.dispose();
});

it('logs-secrets: no secret of a whole run is in a log, a file for people, a URL, an answer, a message or the process table', () => {
  expect([...kinds].sort()).toEqual(
    [
      'ICE password',
      'SRTP master key',
      'SRTP master salt',
      'certificate private key',
      'key block',
      'master secret',
      'premaster secret',
      'resume token',
      'snapshot secret key',
      'snapshot writer key',
      'token key',
    ].sort(),
  );
  // Three associations of two visitors, with eleven secrets each, at the least.
  expect(secrets.size).toBeGreaterThan(50);
  for (const [where, text] of traces) expect([where, secrets.find(text)]).toEqual([where, []]);
});

it('logs-control: a secret that is written down is found in every form, and what is no secret is found where it belongs', () => {
  const planted = new SecretSearch();
  const secret = Secret.random(32, {
    fill: (target) => target.set(fromHex('9f'.repeat(16) + '3d'.repeat(16))),
  }).bytes;
  planted.add('planted', secret);
  for (const [form, text] of forms(secret))
    expect(planted.find(`{"x":"${text}"}`)).toContain(`planted as ${form}`);
  for (let before = 0; before < 3; before++)
    expect(
      planted.find(Buffer.concat([Buffer.alloc(before, 7), secret, Buffer.alloc(5, 7)]).toString('base64')),
    ).not.toEqual([]);
  expect(planted.find('{"x":"nothing"}')).toEqual([]);

  const known = new SecretSearch();
  expect(sessions.size).toBe(2);
  for (const id of sessions) known.add(id, fromHex(id));
  for (const run of [0, 1]) {
    const found = known.find(traces.get(`standard output of run ${run}`)!);
    expect(found.sort()).toEqual([...sessions].map((id) => `${id} as hex`).sort());
  }
  for (const [where, what] of [
    ['request targets', '/ws\n'],
    ['answers over HTTP', '101 Switching Protocols'],
    ['answers over HTTP', '421 Misdirected Request'],
    ['errors told to pages', 'TOKEN_UNKNOWN'],
    ['errors told to pages', 'SDP_INVALID'],
    ['operator commands', 'new keys are on the way to 2 sessions'],
    ['operator commands', '"drops":{'],
    ['metrics', 'rekeycast_tokens_refused_total 3'],
    ['audit.log', '"event":'],
    ['server.json', '"adminSocket":'],
    ['key files', '"publicKey"'],
    ['environment', 'LOG_LEVEL=trace'],
    ['arguments', 'rekeycast.js\0serve'],
    ['file names', 'identity.sealed'],
  ] as const)
    expect([where, traces.get(where)]).toEqual([where, expect.stringContaining(what)]);
});

/** The broadcaster and a viewer, each with media. */
async function visit(): Promise<void> {
  for (const [i, name] of ['broadcaster', 'viewer'].entries()) {
    const page = await OpenPage.open({ name, seed: 60 + i, url: relay.url, udpPort: server.udpPort });
    pages.push(page);
    const handle = page.browser.handleMessage.bind(page.browser);
    page.browser.handleMessage = (message, now) => {
      hear(message);
      handle(message, now);
    };
    await page.onAir(1);
  }
}

const allOnAir = (associations: number): Promise<unknown> =>
  Promise.all(pages.map((page) => page.onAir(associations)));

function hear(message: ServerMessage): void {
  if (message.type === 'welcome') {
    sessions.add(message.session);
    learn('resume token', message.token);
    learn('resume token', fromBase64Url(message.token)!);
  } else if (message.type === 'offer') {
    for (const [, password] of message.sdp.matchAll(/^a=ice-pwd:(\S+)/gm)) learn('ICE password', password!);
  } else if (message.type === 'error') note('errors told to pages', JSON.stringify(message));
}

/** New keys for everybody, and another snapshot key, as an operator orders them. */
async function orders(): Promise<void> {
  keepFiles();
  const write = (text: string): void => note('operator commands', text);
  const io = { stdout: { write }, stderr: { write } };
  expect(await rekey([], server.env, io)).toBe(0);
  await allOnAir(2);
  for (const argv of [
    ['status'],
    ['status', '--json'],
    ['rotate'],
    ['status', '--json'],
    ['rotate', '--nonsense'],
  ])
    await runKeys(argv, server.env, io);
  note('operator commands', JSON.stringify(await askServer(server.adminSocket, { command: 'status' })));
}

/** Whatever might make the server say more than it should. */
async function annoy(): Promise<void> {
  const token = pages[1]!.browser.token!;
  for (const wrong of [toBase64Url(flipped(fromBase64Url(token)!)), 'A'.repeat(43), token.slice(1)]) {
    const thief = await WsClient.connect(relay.url, { token: wrong });
    note('errors told to pages', JSON.stringify(await thief.hear('error')));
    thief.close();
  }
  const client = await WsClient.connect(relay.url);
  client.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  const { connection, offer, sdp } = await client.hear('offer');
  learn('resume token', (await client.hear('welcome')).token);
  hear(await client.hear('offer'));
  client.say({ type: 'answer', connection, offer, sdp: `v=0\r\n${sdp}` });
  client.sayRaw('{');
  client.sayRaw(`{"type":"join","token":"${token}"}`);
  await until(
    'the errors are here',
    () => client.messages.filter(({ type }) => type === 'error').length >= 2,
  );
  for (const message of client.messages)
    if (message.type === 'error') note('errors told to pages', JSON.stringify(message));
  client.close();
  const raw = await RawClient.connect(relay.port);
  raw.request('GET /nothing HTTP/1.1', `X-Token: ${token}`);
  note('answers over HTTP', await raw.heard());
  raw.close();
  const foreign = await RawClient.connect(relay.port);
  foreign.request(
    'GET /ws HTTP/1.1',
    'Host: attacker.example',
    `Sec-WebSocket-Protocol: rekeycast.token.${token}`,
  );
  note('answers over HTTP', await foreign.ended());
}

/** What lies on disk now: secrets to look for, and what people read to look in. */
function keepFiles(): void {
  const { state, keys, runtime } = server.directories;
  const thief = new Thief();
  for (const directory of [state, keys, runtime]) {
    thief.copy(directory);
    note('file names', readdirSync(directory).join('\n'));
  }
  thief.open();
  for (const record of thief.records) {
    const own = decodeServer(record);
    if (own === undefined) continue;
    learn(
      'certificate private key',
      fromBase64Url(signingKey(own.certificate).export({ format: 'jwk' }).d!)!,
    );
    learn('token key', own.tokenKey.bytes.slice());
  }
  for (const name of readdirSync(keys)) {
    if (!name.endsWith('.secret')) note('key files', readFileSync(join(keys, name), 'latin1'));
    else {
      const secret = Secret.take(new Uint8Array(readFileSync(join(keys, name))));
      learn('snapshot secret key', secret.bytes.slice());
      learn('snapshot writer key', deriveWriterKey(secret).bytes.slice());
    }
  }
  for (const name of ['audit.log', 'server.json']) {
    const text = readdirSync(state).includes(name) ? readFileSync(join(state, name), 'latin1') : '';
    traces.set(name, (traces.get(name) ?? '') + text);
  }
}

function noteProcess(): void {
  note('arguments', readFileSync(`/proc/${server.run.pid}/cmdline`, 'latin1'));
  note('environment', readFileSync(`/proc/${server.run.pid}/environ`, 'latin1'));
}

function note(where: string, text: string): void {
  traces.set(where, `${traces.get(where) ?? ''}${text}\n`);
}

function learn(kind: string, secret: Uint8Array | string): void {
  kinds.add(kind);
  secrets.add(kind, secret);
}
