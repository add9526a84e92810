import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { rtpHeaderLength } from '../../src/rtp/packet.ts';
import { createTransform } from '../../src/transport/srtp/create-transform.ts';
import { deriveSessionKeys } from '../../src/transport/srtp/session-keys.ts';
import { RTCP_CLEAR_BYTES, type SrtpTransform } from '../../src/transport/srtp/transform.ts';
import { readUint16 } from '../../src/util/bytes.ts';
import { makeInput } from '../fuzz/fuzz.ts';
import { Random } from '../fuzz/random.ts';
import { demux } from '../fuzz/targets/demux.ts';
import { dtlsRecord } from '../fuzz/targets/dtls-records.ts';
import { rtcp } from '../fuzz/targets/rtcp.ts';
import { rtp } from '../fuzz/targets/rtp.ts';
import { attributesOf, stun } from '../fuzz/targets/stun.ts';
import { prepareServer } from '../support/fixture.ts';
import { libdatachannel } from '../support/foreign-stacks.ts';
import { HeadlessPage } from '../support/headless-page.ts';
import { seenBy } from '../support/on-air.ts';
import { OpenPage } from '../support/open-page.ts';
import { LOOPBACK } from '../support/ports.ts';
import type { ServerProcess } from '../support/process.ts';
import { stunRequest } from '../support/stun.ts';
import { until } from '../support/wait.ts';

const DATAGRAMS = 50_000;
/** What fits the socket's buffer in the kernel: what is lost there attacks nothing. */
const AT_ONCE = 200;
/** From here on the process has all that it loads and compiles. */
const WARM = 5_000;
/** A leak of one datagram in ten would be twice that. */
const MAX_GROWTH_KIB = 64 * 1024;
const STRANGERS = 8;
const MAX_DATAGRAM_BYTES = 1_400;
const USERNAME = 0x0006;

describe('a live server', { timeout: 300_000 }, () => {
  it('fuzz-live: under 50,000 mutated datagrams, of strangers and of a viewer with good keys, the others go on watching on the keys they have', async () => {
    const server = await prepareServer();
    await server.start();
    const open = (name: string, seed: number) => visit(server, name, seed);
    const broadcaster = await open('broadcaster', 1);
    await broadcaster.onAir(1);
    const [bystander, hostile] = [await open('bystander', 2), await open('hostile', 3)];
    await bystander.onAir(1);
    await hostile.onAir(1);
    const foreign = new HeadlessPage(server.url, libdatachannel);
    onTestFinished(() => foreign.close());
    await foreign.open();
    await until('the foreign viewer sees packets', () => foreign.video.length > 20);

    const attack = await Attack.from(server, hostile);
    let warm = 0;
    for (let sent = 0; sent < DATAGRAMS; sent += AT_ONCE) {
      if (sent === WARM) warm = residentKib(server);
      for (let i = 0; i < AT_ONCE; i++) attack.send();
      // Answered behind what has arrived by then.
      await statusOf(server);
      if (sent % 10_000 !== 0) continue;
      const seen = [seenBy(bystander.browser), foreign.video.length] as const;
      await until(`after ${sent} datagrams both go on seeing`, () => {
        const now = seenBy(bystander.browser);
        return now > seen[0] + 20 && foreign.video.length > seen[1] + 20;
      });
    }

    const { drops, room } = await statusOf(server);
    // The control: they got to every engine, and what is authentic got through to the room.
    for (const engine of ['server', 'ice', 'peer', 'srtp'])
      expect(Object.keys(drops).filter((reason) => reason.startsWith(`${engine}: `))).not.toEqual([]);
    expect(room.drops).toMatchObject({ malformedRtcp: expect.any(Number) });
    expect(total(drops)).toBeGreaterThan(DATAGRAMS / 2);

    expect(server.running).toBe(true);
    expect(server.run.stderr).toBe('');
    expect(server.events('protect-failed')).toEqual([]);
    expect(residentKib(server) - warm).toBeLessThan(MAX_GROWTH_KIB);
    // Nobody had to come back, or to get other keys.
    expect(bystander.browser.associations).toHaveLength(1);
    expect(bystander.browser.made).toBe(1);
    expect(foreign.connections).toBe(1);
    expect(server.events('consent-lost')).toEqual([]);
  });
});

async function visit(server: ServerProcess, name: string, seed: number): Promise<OpenPage> {
  const page = await OpenPage.open({ name, seed, url: server.url, udpPort: server.udpPort });
  onTestFinished(() => page.close());
  return page;
}

/** Sends one mutated datagram after the other. */
class Attack {
  readonly #random = new Random(4);
  readonly #targets = [demux, stun, dtlsRecord, rtp, rtcp];
  readonly #udpPort: number;
  readonly #hostile: OpenPage;
  readonly #strangers: readonly Socket[];
  readonly #transform: SrtpTransform;
  readonly #checks: { readonly username: Uint8Array; readonly password: string };
  /** SRTCP indices go up, or nothing but the first would be looked at. */
  #index = 1;

  private constructor(udpPort: number, hostile: OpenPage, strangers: readonly Socket[]) {
    const { profile, local } = hostile.browser.associations[0]!.keys;
    this.#udpPort = udpPort;
    this.#hostile = hostile;
    this.#strangers = strangers;
    this.#transform = createTransform(profile, deriveSessionKeys(profile, local));
    this.#checks = credentialsOf(hostile);
  }

  static async from({ udpPort }: ServerProcess, hostile: OpenPage): Promise<Attack> {
    const strangers = Array.from({ length: STRANGERS }, () => createSocket('udp4'));
    onTestFinished(() => {
      for (const socket of strangers) socket.close();
    });
    for (const socket of strangers) {
      socket.on('error', () => undefined);
      socket.bind(0, LOOPBACK);
      await once(socket, 'listening');
    }
    return new Attack(udpPort, hostile, strangers);
  }

  send(): void {
    const random = this.#random;
    const target = random.pick(this.#targets);
    const input = makeInput(target, target.seeds(), random).subarray(0, MAX_DATAGRAM_BYTES);
    if (random.chance(0.4)) this.#fromStranger(input);
    else this.#hostile.send(random.chance(0.7) ? this.#authentic(target, input) : input);
  }

  /** Under the keys and the password that the hostile viewer was given. */
  #authentic(target: typeof rtp, input: Uint8Array): Uint8Array {
    if (target === rtcp && input.length >= RTCP_CLEAR_BYTES)
      return this.#transform.sealRtcp(input, this.#index++);
    const header = target === rtp ? rtpHeaderLength(input) : undefined;
    if (header !== undefined) return this.#transform.sealRtp(input, header, readUint16(input, 2));
    return target === stun ? this.#check(input) : input;
  }

  #check(input: Uint8Array): Uint8Array {
    const { username, password } = this.#checks;
    const attributes = attributesOf(input).filter(({ type }) => type !== USERNAME);
    return stunRequest(
      [{ type: USERNAME, value: username }, ...attributes],
      password,
      this.#random.bytes(12),
    );
  }

  #fromStranger(input: Uint8Array): void {
    this.#random.pick(this.#strangers).send(input, this.#udpPort, LOOPBACK);
  }
}

/** Of the checks that the server expects of a page: from its last offer, and its own half. */
function credentialsOf({ heard, browser }: OpenPage): {
  readonly username: Uint8Array;
  readonly password: string;
} {
  const offer = heard.findLast((message) => message.type === 'offer');
  const [, ufrag = ''] = /^a=ice-ufrag:(\S+)/m.exec(offer?.sdp ?? '') ?? [];
  const [, password = ''] = /^a=ice-pwd:(\S+)/m.exec(offer?.sdp ?? '') ?? [];
  const own = browser.current?.credentials.ufrag;
  return { username: new Uint8Array(Buffer.from(`${ufrag}:${own}`)), password };
}

interface Status {
  readonly drops: Readonly<Record<string, number>>;
  readonly room: { readonly drops: Readonly<Record<string, number>> };
}

/** Comes back when the server has had a turn of its loop. */
async function statusOf(server: ServerProcess): Promise<Status> {
  const answer = await askServer(server.adminSocket, { command: 'status' });
  if (answer.kind !== 'answer' || !answer.response.ok)
    throw new Error(`no status: ${JSON.stringify(answer)}`);
  return answer.response as unknown as Status;
}

const total = (drops: Readonly<Record<string, number>>): number =>
  Object.values(drops).reduce((sum, count) => sum + count, 0);

/** VmRSS of proc(5). */
function residentKib(server: ServerProcess): number {
  const status = readFileSync(`/proc/${server.run.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? Number.NaN);
}
