import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { PageInput } from '../../src/client/io.ts';
import { Page } from '../../src/client/page.ts';
import { Place } from '../../src/client/place.ts';
import { CLOSE_CODE, SUBPROTOCOL, TOKEN_SUBPROTOCOL_PREFIX } from '../../src/signaling/protocol.ts';
import { fromBase64Url, toBase64Url } from '../../src/util/bytes.ts';
import { prepareServer } from '../support/fixture.ts';
import { flipped } from '../support/flipped.ts';
import { expectSeen, type OnAir, onAir } from '../support/on-air.ts';
import type { ServerProcess } from '../support/process.ts';
import type { VirtualBrowser } from '../support/virtual-browser.ts';
import { opener, type VirtualWorld } from '../support/virtual-world.ts';
import { until } from '../support/wait.ts';
import { WsClient } from '../support/ws-client.ts';

let world: VirtualWorld;
afterEach(() => world?.dispose());

async function broadcasting(viewers = 2): Promise<OnAir> {
  const all = await onAir({ viewers });
  world = all.world;
  return all;
}

/** Somebody else's page comes with a token. */
async function comeWith(token: string): Promise<VirtualBrowser> {
  const thief = world.addBrowser();
  thief.token = token;
  world.open(thief);
  await world.run(200);
  return thief;
}

/** How everybody who is not the thief stands. */
const standing = (browsers: readonly VirtualBrowser[]) =>
  browsers.map(({ role, token, made, associations, errors }) => ({
    role,
    token,
    made,
    keys: associations.length,
    errors: [...errors],
  }));

const sessions = () => [...world.broadcast!.sessions];

const attached = (): number => sessions().filter((session) => session.attached).length;

describe('a resume token', () => {
  it('replay-token-guessed: that nobody was given opens nothing, also where it is the hash that lies on disk, and disturbs nobody', async () => {
    const { browsers, viewers } = await broadcasting();
    const live = fromBase64Url(viewers[0]!.token!)!;
    const { sessions: records, tokenKey } = world.broadcast!.captureIdentity();
    const before = standing(browsers);
    const guesses = [
      toBase64Url(new Uint8Array(32)),
      toBase64Url(flipped(live)),
      toBase64Url(live.subarray(0, 31)),
      `${viewers[0]!.token}A`,
      '',
      'constructor',
      toBase64Url(Uint8Array.from(tokenKey.bytes)),
      ...records.map(({ tokenHash }) => toBase64Url(tokenHash)),
      ...records.map(({ id }) => toBase64Url(id)),
    ];
    for (const guess of guesses) {
      const thief = await comeWith(guess);
      expect(thief).toMatchObject({ errors: ['TOKEN_UNKNOWN'], role: undefined, made: 0 });
    }
    expect(standing(browsers)).toEqual(before);
    expect(sessions()).toHaveLength(browsers.length);
    await expectSeen(world, viewers);
    // The tool works: the token itself opens the session.
    expect(await comeWith(viewers[0]!.token!)).toMatchObject({ errors: [], role: 'viewer' });
  });

  it('replay-token-used: is void once its page has confirmed the next: in this process and the ones after', async () => {
    const { browsers, viewers } = await broadcasting();
    const used: string[] = [];
    for (let resumes = 0; resumes < 3; resumes++) {
      used.push(...browsers.map(({ token }) => token!));
      world.kill();
      await world.run(100);
      await world.start();
      for (const browser of browsers) world.open(browser);
      await expectSeen(world, viewers);
    }
    world.drop(viewers[0]!);
    used.push(viewers[0]!.token!);
    world.open(viewers[0]!);
    await world.run(500);
    const before = standing(browsers);
    for (const token of used) expect((await comeWith(token)).errors).toEqual(['TOKEN_UNKNOWN']);
    expect(new Set(used).size).toBe(10);
    expect(standing(browsers)).toEqual(before);
    await expectSeen(world, viewers);
  });

  it('replay-token-gone: opens nothing when its visitor has left', async () => {
    const { viewers } = await broadcasting();
    const token = viewers[0]!.token!;
    world.say(viewers[0]!, { type: 'leave' });
    await world.run(100);
    expect((await comeWith(token)).errors).toEqual(['TOKEN_UNKNOWN']);
    await expectSeen(world, viewers.slice(1));
  });

  it('replay-token-away: opens nothing ten seconds after its page has gone, and nothing is left of the keys from the start', async () => {
    const { viewers } = await broadcasting();
    const { token } = viewers[0]!;
    const before = world.broadcast!.captureMedia().peers.length;
    world.say(viewers[0]!, { type: 'away' });
    await world.run(100);
    expect(world.broadcast!.captureMedia().peers.length).toBe(before - 1);
    await world.run(10_000);
    expect((await comeWith(token!)).errors).toEqual(['TOKEN_UNKNOWN']);
    await expectSeen(world, viewers.slice(1));
  });

  it('replay-token-storage: lies in the storage of the browser from when its page goes until the next one is loaded, and at no other time', () => {
    const storage = new Map<string, string>();
    const tab = {
      getItem: (name: string) => storage.get(name) ?? null,
      setItem: (name: string, value: string) => void storage.set(name, value),
      removeItem: (name: string) => void storage.delete(name),
    };
    const place = new Place(() => tab, 'http://localhost');
    const found: string[] = [];
    for (const token of ['first', 'second', 'third']) {
      const page = new Page({ rekeyInPlace: true, jitter: () => 0, token: place.take() });
      const tell = (input: PageInput): void => {
        page.handle(input, 0);
        for (let output = page.pollOutput(); output !== undefined; output = page.pollOutput()) {
          if (output.kind === 'keepPlace') place.keep(output.token);
          if (output.kind === 'openSocket') found.push(...output.protocols.slice(1));
        }
      };
      const welcome = { session: 's', token, resumed: false, instance: 'i', role: 'viewer' } as const;
      tell({ kind: 'start' });
      tell({ kind: 'opened', attempt: 1 });
      tell({ kind: 'received', attempt: 1, message: { type: 'welcome', ...welcome } });
      tell({ kind: 'visibility', hidden: true });
      tell({ kind: 'closed', attempt: 1, code: 1006 });
      expect([...storage]).toEqual([]);
      tell({ kind: 'away' });
      expect([...storage.values()]).toEqual([token]);
    }
    expect(found).toEqual(['first', 'second'].map((token) => TOKEN_SUBPROTOCOL_PREFIX + token));
  });

  it('replay-token-twice: that two pages use at once leaves one of them with the session, and what the other says changes nothing', async () => {
    const { browsers, viewers } = await broadcasting();
    const [owner, other] = viewers as [VirtualBrowser, VirtualBrowser];
    world.drop(owner);
    const thief = world.addBrowser();
    thief.token = owner.token!;
    world.open(thief);
    world.open(owner);
    await world.run(500);
    expect(sessions()).toHaveLength(browsers.length);
    expect(attached()).toBe(browsers.length);
    expect(thief.errors).toContain('SUPERSEDED');
    expect(owner.errors).toEqual([]);
    const before = standing(browsers);
    for (const message of [
      { type: 'confirm' },
      { type: 'decline', reason: 'stopped' },
      { type: 'stalled', connection: 1 },
      { type: 'leave' },
    ] as const)
      world.say(thief, message);
    await world.run(500);
    // Nor does the token that it was given open anything.
    expect(thief.token).not.toBe(owner.token);
    expect((await comeWith(thief.token!)).errors).toEqual(['TOKEN_UNKNOWN']);
    expect(standing(browsers)).toEqual(before);
    expect(sessions()).toHaveLength(browsers.length);
    await expectSeen(world, [owner, other]);
  });

  it('replay-token-role: gives the role that its session has now, and no other', async () => {
    const { broadcaster, viewers } = await broadcasting();
    const thief = await comeWith(viewers[0]!.token!);
    world.say(thief, { type: 'publish' });
    await world.run(500);
    expect(thief).toMatchObject({ role: 'viewer', errors: ['BROADCASTER_PRESENT'] });
    await expectSeen(world, viewers.slice(1));

    const former = broadcaster.token!;
    world.say(broadcaster, { type: 'decline', reason: 'stopped' });
    await world.run(500);
    expect(broadcaster.role).toBe('viewer');
    expect((await comeWith(former)).role).toBe('viewer');
  });

  it('replay-token-stolen: makes its thief that one visitor from now on: with new keys, and none for what went before', async () => {
    const { browsers, viewers } = await broadcasting();
    const [owner, other] = viewers as [VirtualBrowser, VirtualBrowser];
    const ownersAddress = `10.0.1.${browsers.indexOf(owner) + 1}`;
    const past = world.sent.filter(({ to }) => to.ip === ownersAddress).map(({ datagram }) => datagram);
    const before = standing([browsers[0]!, other]);
    const thief = await comeWith(owner.token!);
    await world.run(1_000);
    expect(thief).toMatchObject({ role: 'viewer', errors: [], made: 1 });
    expect(thief.associations).toHaveLength(1);
    expect(sessions()).toHaveLength(browsers.length);
    const opens = (keys: VirtualBrowser['associations'][number]['keys']) => {
      const open = opener(keys.profile, keys.remote);
      return past.filter((datagram) => open(datagram) !== undefined).length;
    };
    expect(opens(thief.associations[0]!.keys)).toBe(0);
    expect(opens(owner.associations[0]!.keys)).toBeGreaterThan(30);
    // The owner is told, and has to join anew.
    expect(owner.errors).toEqual(['SUPERSEDED']);
    expect(standing([browsers[0]!, other])).toEqual(before);
    owner.connections.clear();
    world.open(owner);
    await world.run(100);
    expect(owner.errors).toEqual(['SUPERSEDED', 'TOKEN_UNKNOWN']);
    world.open(owner);
    await expectSeen(world, [owner, other, thief]);
    expect(sessions()).toHaveLength(browsers.length + 1);
  });
});

/** A visitor of a real server, by signaling alone. */
async function join(server: ServerProcess): Promise<{ socket: WsClient; token: string }> {
  const socket = await connect(server);
  socket.say({ type: 'join', capabilities: { rekeyInPlace: true } });
  const { token } = await socket.hear('welcome');
  socket.say({ type: 'confirm' });
  return { socket, token };
}

async function connect(
  server: ServerProcess,
  options: Parameters<typeof WsClient.connect>[1] = {},
): Promise<WsClient> {
  const socket = await WsClient.connect(server.url, options);
  onTestFinished(() => socket.close());
  return socket;
}

const ended = (sockets: readonly WsClient[]) => sockets.filter(({ closeCode }) => closeCode !== undefined);

describe('a resume token at a real server', { timeout: 300_000 }, () => {
  it('replay-token-sockets: that many pages bring in the same instant leaves one WebSocket open, and closes the others in words', async () => {
    const server = await prepareServer();
    await server.start();
    const { socket: first, token } = await join(server);
    const bystander = await join(server);
    const sockets = await Promise.all(Array.from({ length: 8 }, () => connect(server, { token })));
    await until('all but one are closed', () => ended(sockets).length === sockets.length - 1);
    expect(await first.closed()).toBe(CLOSE_CODE.superseded);
    for (const { closeCode, messages } of ended(sockets)) {
      expect(closeCode).toBe(CLOSE_CODE.superseded);
      expect(messages).toContainEqual(expect.objectContaining({ type: 'error', code: 'SUPERSEDED' }));
    }
    const [last] = sockets.filter(({ closeCode }) => closeCode === undefined);
    const welcome = await last!.hear('welcome');
    expect(welcome.resumed).toBe(true);
    last!.say({ type: 'confirm' });

    // Used before: refused, without a word to the one who has the session.
    const late = await connect(server, { token });
    expect((await late.hear('error')).code).toBe('TOKEN_UNKNOWN');
    expect([last!.closeCode, bystander.socket.closeCode]).toEqual([undefined, undefined]);
    expect(server.events('session-opened')).toHaveLength(2);
    // What is refused can join like anybody.
    late.say({ type: 'join', capabilities: { rekeyInPlace: true } });
    expect((await late.hear('welcome')).session).not.toBe(welcome.session);
  });

  it('replay-token-http: is not used up by a request that makes no WebSocket, and comes back in no answer', async () => {
    const server = await prepareServer();
    await server.start();
    const { socket, token } = await join(server);
    const protocol = TOKEN_SUBPROTOCOL_PREFIX + token;
    const answers: string[] = [];
    for (const path of ['ws', 'readyz', '', `ws?token=${token}`]) {
      const answer = await fetch(`${server.url}${path}`, {
        headers: { 'sec-websocket-protocol': `${SUBPROTOCOL}, ${protocol}` },
      });
      answers.push(JSON.stringify([...answer.headers]), await answer.text());
    }
    const refused = [{ token, origin: 'http://elsewhere.example' }, { protocols: [protocol] }];
    for (const options of refused)
      await expect(WsClient.connect(server.url, options)).rejects.toThrow(/40[03]/);
    expect(answers.join()).not.toContain(token);
    expect(socket.closeCode).toBeUndefined();
    expect(server.run.stdout + server.run.stderr).not.toContain(token);

    const back = await connect(server, { token });
    expect((await back.hear('welcome')).resumed).toBe(true);
  });
});
