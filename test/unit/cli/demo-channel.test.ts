import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import {
  demoChannel,
  parseToSupervisor,
  SUPERVISED,
  type ToSupervisor,
} from '../../../src/cli/demo-channel.ts';
import { wantsSupervisor } from '../../../src/cli/supervise.ts';
import { readConfig } from '../../../src/config.ts';

const ENV = { [SUPERVISED]: '1' };

/** A process with a channel to its parent. */
class FakeProcess extends EventEmitter {
  connected = true;
  readonly pid = 4_711;
  readonly channel = null;
  readonly said: ToSupervisor[] = [];
  readonly killed: [number, unknown][] = [];

  send(message: ToSupervisor, sent: () => void): boolean {
    this.said.push(message);
    queueMicrotask(sent);
    return true;
  }

  kill(pid: number, signal?: unknown): true {
    this.killed.push([pid, signal]);
    return true;
  }
}

const open = (env: Readonly<Record<string, string>> = ENV) => {
  const self = new FakeProcess();
  const gone: true[] = [];
  return { self, gone, channel: demoChannel(env, () => gone.push(true), self as never) };
};

describe("a supervised server's channel", () => {
  it('is there where a supervisor has started it, and not for any parent with a channel', () => {
    expect(open().channel).toBeDefined();
    expect(open({}).channel).toBeUndefined();
    expect(demoChannel(ENV, () => undefined, { ...process, send: undefined } as never)).toBeUndefined();
  });

  it('carries an order there and what came of it back', async () => {
    const { self, channel } = open();
    const outcome = channel!.ask('rotate');
    expect(self.said).toEqual([{ type: 'pressed', action: 'rotate' }]);
    self.emit('message', { type: 'answer', action: 'deploy', done: false, words: 'another' });
    self.emit('message', { type: 'answer', action: 'rotate', done: true });
    self.emit('message', { type: 'answer', action: 'rotate', done: true, words: 'done' });
    expect(await outcome).toEqual({ done: true, words: 'done' });
  });

  it('says that the end is asked for before it ends this process', async () => {
    const { self, channel } = open();
    const dead = channel!.die();
    expect(self.said).toEqual([{ type: 'pressed', action: 'kill' }]);
    expect(self.killed).toEqual([]);
    await dead;
    expect(self.killed).toEqual([[4_711, 'SIGKILL']]);
  });

  it('says when the supervisor has gone', () => {
    const { self, gone } = open();
    self.emit('disconnect');
    expect(gone).toEqual([true]);
  });
});

describe('what a supervisor hears', () => {
  it.each([{ type: 'ready' }, { type: 'pressed', action: 'kill' }])('is %j', (message) => {
    expect(parseToSupervisor(message)).toEqual(message);
  });

  it.each([
    undefined,
    'ready',
    { type: 'pressed' },
    { type: 'pressed', action: 'format' },
    { type: 'ready', x: 1 },
    { type: 'answer', action: 'kill', done: true, words: '' },
  ])('is not %j', (message) => {
    expect(parseToSupervisor(message)).toBeUndefined();
  });
});

describe('who becomes a supervisor', () => {
  const wants = (env: Record<string, string>, hasChannel = false) =>
    wantsSupervisor(readConfig(env), env, hasChannel);

  it('is who has DEMO_CONTROLS', () => {
    expect(wants({ DEMO_CONTROLS: '1' })).toBe(true);
    expect(wants({ DEMO_CONTROLS: '0' })).toBe(false);
    expect(wants({})).toBe(false);
  });

  it('is not who has a supervisor; the mark alone makes none', () => {
    expect(wants({ DEMO_CONTROLS: '1', ...ENV }, true)).toBe(false);
    expect(wants({ DEMO_CONTROLS: '1', ...ENV }, false)).toBe(true);
  });

  it.each(['NOTIFY_SOCKET', 'LISTEN_FDS', 'LISTEN_PID'])(
    'is nobody whom a service manager follows: %s',
    (name) => {
      expect(() => wants({ DEMO_CONTROLS: '1', [name]: '1' })).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(name) }),
      );
      expect(wants({ [name]: '1' })).toBe(false);
    },
  );

  it.each(['PORT', 'UDP_PORT'])('is nobody whose next server would be elsewhere: %s', (name) => {
    expect(() => wants({ DEMO_CONTROLS: '1', [name]: '0' })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });
});
