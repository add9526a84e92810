import { expect, it, vi } from 'vitest';
import type { AdminRequest, AdminResponse } from '../../../src/keyring/admin-protocol.ts';
import { AdminDesk, type AdminDeskOptions, ENDING } from '../../../src/server/admin-desk.ts';
import { deferred } from '../../../src/server/waiting.ts';

const HANDOVER: AdminRequest = { command: 'handover', fresh: false, sockets: false };
const DONE: AdminResponse = { ok: true, pid: process.pid };

function open(change: Partial<AdminDeskOptions> = {}) {
  const calls: string[] = [];
  const call =
    <Value>(name: string, value: Value) =>
    async (): Promise<Value> => {
      calls.push(name);
      return value;
    };
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const desk = new AdminDesk({
    log,
    keepsSockets: false,
    alwaysFresh: false,
    isEnding: () => false,
    perform: call('perform', { ok: true }),
    renewKeys: call('renewKeys', 7),
    settle: call('settle', 'settled'),
    letGo: async (since) => void calls.push(`letGo ${since}`),
    ...change,
  });
  const hangUp = new AbortController();
  const ask = (request: AdminRequest) => desk.handle(request, hangUp.signal);
  return { desk, calls, log, hangUp, ask };
}

it('hands over what is on disk, and lets go last', async () => {
  const { ask, calls } = open();
  expect(await ask(HANDOVER)).toEqual(DONE);
  expect(calls).toEqual(['settle', 'letGo undefined']);
});

it('hands over new keys alone, where either of the two servers wants that', async () => {
  for (const [alwaysFresh, fresh] of [
    [true, false],
    [false, true],
  ] as const) {
    const { ask, calls } = open({ alwaysFresh });
    expect(await ask({ ...HANDOVER, fresh })).toEqual(DONE);
    expect(calls).toEqual(['renewKeys', 'settle', 'letGo 7']);
  }
});

it('hands sockets of a service manager over to who has them, and not to who has not', async () => {
  const { ask, calls } = open({ keepsSockets: true });
  expect(await ask(HANDOVER)).toMatchObject({ ok: false, error: expect.stringContaining('service manager') });
  expect(calls).toEqual([]);
  expect(await ask({ ...HANDOVER, sockets: true })).toEqual(DONE);
});

it('changes nothing for who has hung up before the end, and says so, also where the disk hangs besides', async () => {
  for (const settled of ['settled', 'disk-hangs'] as const) {
    const { ask, calls, hangUp, log } = open({
      settle: async () => {
        hangUp.abort();
        return settled;
      },
    });
    expect(await ask(HANDOVER)).toEqual(ENDING);
    expect(calls).toEqual([]);
    expect(log.warn).toHaveBeenCalledWith({ event: 'handover-cancelled' }, expect.any(String));
  }
});

it('goes on where the disk hangs, and hands over when it does not any more', async () => {
  let settled: 'settled' | 'disk-hangs' = 'disk-hangs';
  const { ask, calls, log } = open({ settle: async () => settled });
  expect(await ask(HANDOVER)).toMatchObject({ ok: false, error: expect.stringContaining('STATE_DIR') });
  expect(log.error).toHaveBeenCalled();
  expect(calls).toEqual([]);
  settled = 'settled';
  expect(await ask(HANDOVER)).toEqual(DONE);
});

it('tells who renews keys when nobody waits for them any more', async () => {
  const seen: boolean[] = [];
  const { ask, hangUp } = open({
    alwaysFresh: true,
    renewKeys: async (isGivenUp) => {
      seen.push(isGivenUp());
      hangUp.abort();
      seen.push(isGivenUp());
      return 0;
    },
  });
  expect(await ask(HANDOVER)).toEqual(ENDING);
  expect(seen).toEqual([false, true]);
});

it('refuses what comes during a handover or behind the end, but for a look at the status', async () => {
  const settling = deferred<'settled'>();
  let ending = false;
  const { ask, calls } = open({ settle: () => settling.promise, isEnding: () => ending });
  const first = ask(HANDOVER);
  expect(await ask({ command: 'rekey' })).toEqual(ENDING);
  expect(await ask(HANDOVER)).toEqual(ENDING);
  expect(calls).toEqual([]);
  expect(await ask({ command: 'status' })).toEqual({ ok: true });
  settling.resolve('settled');
  expect(await first).toEqual(DONE);
  expect(await ask({ command: 'rekey' })).toEqual({ ok: true });
  ending = true;
  expect(await ask({ command: 'rekey' })).toEqual(ENDING);
  expect(await ask(HANDOVER)).toEqual(ENDING);
  expect(await ask({ command: 'status' })).toEqual({ ok: true });
});

it('has who waits for it wait for what was asked before, whatever comes of it', async () => {
  const [order, other] = [deferred<AdminResponse>(), deferred<void>()];
  const { desk, ask } = open({ perform: () => order.promise });
  const answer = ask({ command: 'reseal' });
  const work = desk.track(other.promise.then(() => Promise.reject(new Error('failed'))));
  const done = vi.fn();
  const settled = desk.settled().then(done);
  order.resolve({ ok: true });
  await answer;
  expect(done).not.toHaveBeenCalled();
  other.resolve();
  await expect(work).rejects.toThrow('failed');
  await settled;
  await desk.settled();
});
