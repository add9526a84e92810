import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import type { DtlsIdentity } from '../../src/transport/dtls/client.ts';
import { loadSodium } from '../../src/util/sodium.ts';
import { datagramKind } from '../support/capture.ts';
import { testIdentity } from '../support/dtls-identity.ts';
import { Impostor } from '../support/impostor.ts';
import { everybodyKeyed, oldKeysCollected } from '../support/memory.ts';
import { OpenPage } from '../support/open-page.ts';
import { freePort } from '../support/ports.ts';
import { ServerProcess } from '../support/process.ts';
import { UdpRelay } from '../support/relay.ts';
import { ATTACKED_PROFILE, Thief } from '../support/thief.ts';
import { opener } from '../support/virtual-world.ts';
import { until } from '../support/wait.ts';

/** Enough for several packets of each stream. */
const PACKETS_BETWEEN = 60;
/** Epoch 1 begins with a re-key in place, after a kill; 2 with an ordered one; 3 after another kill. */
const EPOCHS = 4;
/** When single thieves come, who have one moment only: there is media before them, of two epochs, and behind them. */
const ROBBED = [1, 2] as const;

/** Two packets under the same keys, and when: what the thieves are judged by and do not know. */
interface Stream {
  /** Half an epoch less where these keys were the first try of it, and others took their place. */
  readonly epoch: number;
  /** Before or behind the thieves of this epoch, if any came. */
  readonly when: 'before' | 'behind';
  readonly packets: readonly Uint8Array[];
}

let server: ServerProcess;
let relay: UdpRelay;
const pages: OpenPage[] = [];
const streams: Stream[] = [];
/** They come at every moment. */
const traffic = new Thief();
const state = new Thief();
const keys = new Thief();
/** Comes at every moment as well, but only when nobody uses the first epoch's contexts any more. */
const late = new Thief();
/** They come once. */
const runtime = new Map<number, Thief>();
const memory = new Map<number, Thief>();
/** Length of the recording when they came. */
const robbedAt = new Map<number, number>();
const opened = new Map<Thief, ReadonlySet<Uint8Array>>();
/** How many associations each page had had when the epoch was on air. */
const hadBy = new Map<OpenPage, number[]>();
/** Who was taken for the server, and who when it had another certificate. */
const believed = new Map<Thief, boolean>();
const believedLater = new Map<Thief, boolean>();

beforeAll(async () => {
  await loadSodium();
  const udpPort = await freePort();
  relay = await UdpRelay.start({ serverPort: udpPort, record: true });
  const env = { SRTP_PROFILES: ATTACKED_PROFILE, LOG_LEVEL: 'debug' };
  server = await ServerProcess.start({ udpPort, announcedPort: relay.port, env });
  for (const [seed, name] of ['broadcaster', 'viewer'].entries()) {
    const page = await OpenPage.open({ name, seed, url: server.url, udpPort: relay.port });
    pages.push(page);
    hadBy.set(page, []);
    await page.onAir(1);
  }
  // During re-keys: with each datagram of a handshake.
  relay.onDatagram = ({ bytes }) => {
    if (datagramKind(bytes) === 'dtls') steal();
    return undefined;
  };
  await liveThrough(0);
  await restart();
  await liveThrough(1);
  await askServer(server.adminSocket, { command: 'rekey' });
  await liveThrough(2);
  await restart();
  await liveThrough(3);
  relay.onDatagram = undefined;
  relay.recording = false;
  const recorded = relay.capture.map(({ bytes }) => bytes);
  for (const thief of thieves()) {
    thief.record(recorded);
    thief.open();
  }
  expect(state.records).toEqual([]);
  expect(keys.records.length).toBeGreaterThan(8);
  findStreams();
  const packets = streams.map((stream) => stream.packets);
  for (const thief of thieves()) opened.set(thief, thief.opens(packets));
  await poseAsServer();
}, 300_000);

afterAll(async () => {
  for (const page of pages) page.close();
  await server.dispose();
  relay.close();
});

const WORDS = { past: 'gone by', now: 'of now', next: 'after the next re-key' } as const;

describe('a thief of', () => {
  const NOTHING = [
    { id: 'theft-traffic-past', of: 'recorded traffic', thief: traffic, column: 'past' },
    { id: 'theft-traffic-now', of: 'recorded traffic', thief: traffic, column: 'now' },
    { id: 'theft-traffic-next', of: 'recorded traffic', thief: traffic, column: 'next' },
    { id: 'theft-state-past', of: 'STATE_DIR', thief: state, column: 'past' },
    { id: 'theft-state-now', of: 'STATE_DIR', thief: state, column: 'now' },
    { id: 'theft-state-next', of: 'STATE_DIR', thief: state, column: 'next' },
    { id: 'theft-keys-past', of: 'STATE_DIR and KEYS_DIR', thief: keys, column: 'past' },
    { id: 'theft-keys-now', of: 'STATE_DIR and KEYS_DIR', thief: keys, column: 'now' },
    { id: 'theft-keys-next', of: 'STATE_DIR and KEYS_DIR', thief: keys, column: 'next' },
  ] as const;
  for (const { id, of, thief, column } of NOTHING) {
    it(`${id}: ${of}, at every moment, opens no media ${WORDS[column]}`, () => {
      for (const epoch of ROBBED) {
        const wanted = packetsOf(epoch, column);
        expect(wanted.length).toBeGreaterThan(4);
        expect(share(thief, wanted)).toBe(0);
      }
    });
  }

  const IN_TIME = [
    { id: 'theft-runtime-past', of: 'RUNTIME_DIR as well', thieves: runtime, column: 'past' },
    { id: 'theft-runtime-now', of: 'RUNTIME_DIR as well', thieves: runtime, column: 'now' },
    { id: 'theft-runtime-next', of: 'RUNTIME_DIR as well', thieves: runtime, column: 'next' },
    { id: 'theft-memory-past', of: 'memory', thieves: memory, column: 'past' },
    { id: 'theft-memory-now', of: 'memory', thieves: memory, column: 'now' },
    { id: 'theft-memory-next', of: 'memory', thieves: memory, column: 'next' },
  ] as const;
  for (const { id, of, thieves, column } of IN_TIME) {
    const yields = column === 'next' ? 'nothing' : 'this epoch only';
    it(`${id}: ${of}, in time, opens of the media ${WORDS[column]} ${yields}`, () => {
      for (const epoch of ROBBED) {
        const wanted = packetsOf(epoch, column);
        const own = wanted.filter((packet) => ofEpoch(epoch).includes(packet));
        const others = wanted.filter((packet) => !own.includes(packet));
        expect(own.length > 2).toBe(column !== 'next');
        expect(others.length > 4).toBe(column !== 'now');
        const thief = thieves.get(epoch)!;
        if (column !== 'next') expect(share(thief, own)).toBe(1);
        if (column !== 'now') expect(share(thief, others)).toBe(0);
      }
    });
  }

  it('theft-late-past: RUNTIME_DIR, when its contexts have been opened and replaced, opens nothing of their epoch', () => {
    expect(share(late, ofEpoch(0))).toBe(0);
    expect(share(late, ofEpoch(2))).toBe(1);
  });
});

describe('for the server, on path', () => {
  it('theft-traffic-pose: nobody is taken who has recorded traffic', () => {
    expect(believed.get(traffic)).toBe(false);
  });

  it('theft-state-pose: nobody is taken who has STATE_DIR', () => {
    expect(believed.get(state)).toBe(false);
  });

  it('theft-keys-pose: who has STATE_DIR and KEYS_DIR is taken until the certificate is replaced', () => {
    expect([believed.get(keys), believedLater.get(keys)]).toEqual([true, false]);
  });

  it('theft-runtime-pose: who has RUNTIME_DIR as well is taken for as long, and no longer', () => {
    const thief = runtime.get(2)!;
    expect([believed.get(thief), believedLater.get(thief)]).toEqual([true, false]);
  });

  it('theft-memory-pose: who has read the memory is taken until the certificate is replaced', () => {
    const thief = memory.get(2)!;
    expect([believed.get(thief), believedLater.get(thief)]).toEqual([true, false]);
  });
});

const thieves = (): readonly Thief[] => [traffic, state, keys, late, ...runtime.values(), ...memory.values()];

const ofEpoch = (epoch: number): readonly Uint8Array[] => streamsOf((stream) => stream.epoch === epoch);

function streamsOf(wanted: (stream: Stream) => boolean): readonly Uint8Array[] {
  return streams.filter(wanted).flatMap(({ packets }) => packets);
}

/** Media as somebody sees it who comes in this epoch. */
function packetsOf(epoch: number, column: 'past' | 'now' | 'next'): readonly Uint8Array[] {
  return streamsOf((stream) => {
    if (stream.epoch !== epoch) return column === (stream.epoch < epoch ? 'past' : 'next');
    return column === (stream.when === 'before' ? 'past' : 'now');
  });
}

const share = (thief: Thief, packets: readonly Uint8Array[]): number =>
  packets.filter((packet) => opened.get(thief)!.has(packet)).length / packets.length;

/** Those who come at every moment. */
function steal(): void {
  const { state: stateDir, keys: keysDir, runtime: runtimeDir } = server.directories;
  state.copy(stateDir);
  keys.copy(stateDir);
  keys.copy(keysDir);
  if (!robbedAt.has(1)) return;
  late.copy(keysDir);
  late.copy(runtimeDir);
}

/** Until everybody has the keys of this epoch, nobody those before, and media has gone by. Thieves come in the middle of it. */
async function liveThrough(epoch: number): Promise<void> {
  for (const page of pages) await page.onAir((hadBy.get(page)!.at(-1) ?? 0) + 1);
  await everybodyKeyed(server, pages);
  for (const page of pages) hadBy.get(page)!.push(page.browser.associations.length);
  await oldKeysCollected(server);
  await mediaPasses();
  robbedAt.set(epoch, relay.capture.length);
  steal();
  if (ROBBED.some((one) => one === epoch)) await rob(epoch);
  await mediaPasses();
}

async function rob(epoch: number): Promise<void> {
  const ofFiles = new Thief();
  for (const directory of Object.values(server.directories)) ofFiles.copy(directory);
  runtime.set(epoch, ofFiles);
  const ofMemory = new Thief();
  await ofMemory.copyMemory(server.run.pid);
  memory.set(epoch, ofMemory);
}

async function mediaPasses(): Promise<void> {
  const before = relay.capture.length;
  await until('some media goes by', () => relay.capture.length > before + PACKETS_BETWEEN);
}

/** `kill -9`, with thieves right behind it, before anybody comes back and after. */
async function restart(): Promise<void> {
  await server.kill();
  steal();
  await server.start();
  steal();
  for (const page of pages) await page.comeBack();
}

/** Two packets of each stream under each keys, before the thieves and behind them. */
function findStreams(): void {
  const media = relay.capture.flatMap(({ bytes }, at) => {
    const kind = datagramKind(bytes);
    return kind === 'rtp' || kind === 'rtcp' ? [{ bytes, at, kind }] : [];
  });
  const associations = pages.flatMap((page) =>
    page.browser.associations.map(({ keys: ours }, number) => ({ ours, epoch: epochOf(page, number) })),
  );
  for (const { epoch, ours } of associations) {
    for (const master of [ours.local, ours.remote]) {
      const open = opener(ours.profile, master);
      const found = media.filter(({ bytes }) => open(bytes) !== undefined);
      for (const when of ['before', 'behind'] as const) {
        for (const kind of ['rtp', 'rtcp'] as const) {
          const packets = found
            .filter(
              (one) => one.kind === kind && one.at < robbedAt.get(Math.ceil(epoch))! === (when === 'before'),
            )
            .map(({ bytes }) => bytes);
          if (packets.length > 0) streams.push({ epoch, when, packets: [packets[0]!, packets.at(-1)!] });
        }
      }
    }
  }
  expect(new Set(streams.map(({ epoch }) => Math.ceil(epoch))).size).toBe(EPOCHS);
}

function epochOf(page: OpenPage, number: number): number {
  const had = hadBy.get(page)!;
  const epoch = had.findIndex((count) => number < count);
  return number === had[epoch]! - 1 ? epoch : epoch - 0.5;
}

/** Each thief with the certificate he has, or with one of his own: before and after the server's is replaced. */
async function poseAsServer(): Promise<void> {
  const own = await testIdentity();
  const posing = [traffic, state, keys, runtime.get(2)!, memory.get(2)!];
  const identities = posing.map((thief) => [thief, thief.identity() ?? own] as const);
  for (const [thief, identity] of identities) believed.set(thief, await pose(identity));
  await server.kill();
  const { state: directory } = server.directories;
  for (const name of readdirSync(directory)) if (name.startsWith('identity')) rmSync(join(directory, name));
  await server.start();
  for (const [thief, identity] of identities) believedLater.set(thief, await pose(identity));
}

let visitors = 100;
function pose(identity: DtlsIdentity): Promise<boolean> {
  const seed = visitors++;
  return new Impostor(relay, identity).pose(() =>
    OpenPage.open({ name: 'victim', seed, url: server.url, udpPort: relay.port }),
  );
}
