import { describe, expect, it } from 'vitest';
import { status } from '../../../src/cli/status.ts';
import { statusLine, statusLines } from '../../../src/cli/status-view.ts';
import type { AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { formatAdminLine, MAX_ADMIN_LINE_BYTES } from '../../../src/keyring/admin-protocol.ts';
import { announcedServers } from '../../support/announced-server.ts';
import { serverFactsOf } from '../../support/server-facts.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const servers = announcedServers(root);

/** A server that answers with one of these after the other, and with the last of them from then on. */
async function serverThatAnswers(...responses: readonly AdminResponse[]): Promise<void> {
  let asked = 0;
  await servers.start(() => responses[Math.min(asked++, responses.length - 1)]);
}

const answerOf = (...changes: Parameters<typeof serverFactsOf>): AdminResponse => ({
  ok: true,
  facts: serverFactsOf(...changes),
});

/** `times`: how often a watch asks before it is interrupted. */
async function run(
  argv: readonly string[],
  { tty = false, times = 1, columns = 200, meanwhile = async () => {} } = {},
) {
  let [out, err] = ['', ''];
  const io = {
    stdout: { write: (text: string) => (out += text), isTTY: tty, columns },
    stderr: { write: (text: string) => (err += text) },
  };
  const interrupt = new AbortController();
  let waited = 0;
  const wait = async (): Promise<void> => {
    if (++waited === times) interrupt.abort();
    await meanwhile();
  };
  const code = await status(argv, { STATE_DIR: root.path }, io, { signal: interrupt.signal, wait });
  return { code, out, err };
}

describe('rekeycast status', () => {
  it('says what the server does', async () => {
    await serverThatAnswers(answerOf());
    const { code, out, err } = await run([]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('rekeycast 0.1.0  ready  up 3 h  process 4711');
    expect(out).toContain('on air, 312 viewers (311 live, 2 rekeying, 3 away)');
    expect(out).toContain('epoch up to 7, oldest 12 min, none stale');
    expect(out).toContain('identity 4 s ago (120 kB), media 100 ms ago (84 kB)');
    expect(out).toContain('9f00c1d2e3a4b5c6, 12 d old; certificate 30 d old');
    expect(out).toContain('51 (srtp: replayed 40, server: unknown peer 8, room: duplicate 2)');
  });

  it('gives all the numbers to programs', async () => {
    await serverThatAnswers(answerOf());
    const { code, out } = await run(['--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ running: true, ...serverFactsOf() });
  });

  it('says why where nobody answers', async () => {
    expect(await run([])).toEqual({
      code: 1,
      out: '',
      err: `rekeycast status: ${root.path}: no server listens\n`,
    });
    expect(await run(['--json'])).toMatchObject({
      code: 1,
      out: '{"running":false,"why":"no server listens"}\n',
    });
  });

  it('says so where a server of another version answers', async () => {
    await serverThatAnswers({ ok: true, ready: true });
    expect((await run([])).err).toContain('of another version');
  });

  it('stays in its place on a terminal, and gives rates', async () => {
    const { room, now } = serverFactsOf();
    const later = { now: now + 2_000, room: { ...room, packetsIn: room.packetsIn + 500 } };
    await serverThatAnswers(answerOf(), answerOf(later));
    const { out } = await run(['--watch'], { tty: true, times: 2 });
    const [first, second] = out.split('\x1b[J');
    expect(first!.endsWith(`\x1b[${first!.split('\n').length - 1}A`)).toBe(true);
    expect(first).toContain('in 80000, out 24000000 packets');
    expect(second).toContain('in 250/s, out 0/s packets');
  });

  it('is a line each time where there is no terminal', async () => {
    await serverThatAnswers(answerOf());
    const { out } = await run(['--watch'], { times: 3 });
    expect(out.split('\n')).toHaveLength(4);
    expect(out).not.toContain('\x1b');
    expect(out).toMatch(/^2027-01-15T08:00:00\.000Z; ready; /);
  });

  it('breaks no line on a narrow terminal', async () => {
    await serverThatAnswers(answerOf());
    const { out } = await run(['--watch'], { tty: true, columns: 20 });
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBe(20);
  });

  it('watches on over a restart', async () => {
    let runs: Promise<void> | undefined;
    const meanwhile = (): Promise<void> => {
      runs ??= serverThatAnswers(answerOf());
      return runs;
    };
    const { code, out } = await run(['--watch'], { times: 2, meanwhile });
    expect(code).toBe(0);
    expect(out).toContain('no server listens\n');
    expect(out).toContain('; ready; ');
  });

  it('compares nothing with another process', async () => {
    const { now } = serverFactsOf();
    await serverThatAnswers(answerOf(), answerOf({ pid: 4_712, now: now + 1_000 }));
    const { out } = await run(['--watch'], { times: 2 });
    expect(out.split('\n')[1]).toContain('in 80000, out');
  });

  it.each([['--interval', '0'], ['--interval', 'often'], ['--interval', '9999'], ['now'], ['--red']])(
    'is called wrongly with %s %s',
    async (...argv) => {
      const { code, out, err } = await run(argv);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain('Usage:');
    },
  );

  it('explains itself', async () => {
    expect((await run(['--help'])).out).toContain('--watch');
  });
});

describe('the view', () => {
  const shown = (...changes: Parameters<typeof serverFactsOf>) =>
    statusLines(serverFactsOf(...changes)).join('\n');

  it('shows no progress where there is none', () => {
    expect(shown()).not.toContain('[');
  });

  it('shows how far a drain is', () => {
    const { now } = serverFactsOf();
    const text = shown({ drain: { sessions: 40, left: 10, endsAt: now + 30_000 } });
    expect(text).toContain(
      'drain       [##################------] 10 of 40 sessions are still here, 30 s left',
    );
    expect(text).toContain('  draining  ');
  });

  it('shows how far a mass resume is, and stops when all are accounted for, or long gone', () => {
    const { now, resume } = serverFactsOf();
    const begun = { startedAt: now - 1_000, resume: { ...resume, found: 300, rekeyed: 140, gone: 10 } };
    expect(shown(begun)).toContain('[############------------] 140 of 300 have new keys, 280 pages are back');
    expect(shown({ ...begun, startedAt: now - 300_000 })).not.toContain('have new keys');
    expect(shown({ ...begun, resume: { ...resume, rekeyed: 290, gone: 10 } })).not.toContain('have new keys');
  });

  it('shows each step of a rotation', () => {
    const { key } = serverFactsOf();
    expect(shown({ key: { ...key, former: 1, resealing: true } })).toContain(
      '[########----------------] the new key',
    );
    expect(shown({ key: { ...key, former: 1 } })).toContain('1 former not destroyed');
  });

  it('shows workers where there are some', () => {
    const workers = [
      { number: 1, udpPort: 8_081, sessions: 40, silentMs: 1_400 },
      { number: 2, udpPort: 8_082, sessions: 1, silentMs: 0 },
    ];
    expect(shown({ workers })).toContain(
      'workers     1: 40 sessions at UDP port 8081, 2: 1 session at UDP port 8082',
    );
    expect(shown()).not.toContain('workers');
  });

  it('shows a worker that does not answer', () => {
    const workers = [{ number: 3, udpPort: 8_083, sessions: 2, silentMs: 4_200 }];
    expect(shown({ workers })).toContain('3: 2 sessions at UDP port 8083, SILENT for 4 s');
  });

  it('raises its voice where keys are stale and snapshots are not written', () => {
    const { snapshots } = serverFactsOf();
    const media = { ...snapshots.media!, failures: 2 };
    const text = shown({
      stale: { connections: 12, ageMs: 3_000 },
      snapshots: { identity: snapshots.identity, media },
    });
    expect(text).toContain('12 STALE for 3 s');
    expect(text).toContain('2 FAILED');
  });

  it('lets nothing steer the terminal', () => {
    const drops = { 'srtp: \x1b[2J': 3 };
    expect(shown({ drops })).toContain('srtp: ?[2J 3');
    expect(statusLine(serverFactsOf({ drops }))).not.toContain('\x1b');
  });

  it('fits into an answer of the admin socket, however much there is to tell', () => {
    const drops = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`engine: a reason of some length ${i}`, 1e12]),
    );
    const line = formatAdminLine({ ok: true, facts: serverFactsOf({ drops }), drops });
    expect(line.length).toBeLessThan(MAX_ADMIN_LINE_BYTES / 2);
  });
});
