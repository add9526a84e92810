import { existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { chooseRuntimeDir } from '../../../src/snapshot/runtime-dir.ts';
import type { StoreEvent } from '../../../src/snapshot/store.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { testDirectory } from '../../support/test-directory.ts';

const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;
const EXT4 = 0xef53;

const root = testDirectory();
let events: StoreEvent[];

beforeEach(() => {
  events = [];
});

describe('the directory for media contexts', () => {
  it.each([TMPFS, RAMFS])('is the given one where it lies in RAM (%i), made and closed to others', (type) => {
    const given = join(root.path, 'given');
    expect(choose({ given }, type)).toBe(given);
    expect(statSync(given).mode & 0o777).toBe(0o700);
    expect(events).toEqual([]);
  });

  it('is none, with a warning, where the given one does not lie in RAM', () => {
    const given = join(root.path, 'given');
    expect(choose({ given, env: { XDG_RUNTIME_DIR: root.path } }, EXT4)).toBeUndefined();
    expect(events).toMatchObject([{ level: 'warn', event: 'runtime-dir-unsuitable' }]);
    expect(events[0]?.message).toContain(given);
  });

  it('is the one that systemd gives before the one of the session', () => {
    const env = { RUNTIME_DIRECTORY: join(root.path, 'a:/run/b'), XDG_RUNTIME_DIR: root.path };
    expect(choose({ env }, TMPFS)).toBe(join(root.path, 'a'));
    expect(choose({ env: { XDG_RUNTIME_DIR: root.path } }, TMPFS)).toMatch(/\/rekeycast-[0-9a-f]{12}$/);
  });

  it('is another one for another STATE_DIR', () => {
    const env = { XDG_RUNTIME_DIR: root.path };
    const [a, b] = ['/srv/a', '/srv/b'].map((stateDir) => choose({ env, stateDir }, TMPFS));
    expect(a).not.toBe(b);
    expect(choose({ env, stateDir: '/srv/a' }, TMPFS)).toBe(a);
  });

  it('is none, with words, where nothing lies in RAM', () => {
    expect(choose({ env: { RUNTIME_DIRECTORY: join(root.path, 'a') } }, EXT4)).toBeUndefined();
    expect(events).toMatchObject([{ level: 'warn', event: 'strict' }]);
    expect(events[0]?.message).toContain('Set RUNTIME_DIR');
  });

  it('is closed to others where it was open', () => {
    const given = join(root.path, 'open');
    mkdirSync(given, { mode: 0o755 });
    expect(choose({ given }, TMPFS)).toBe(given);
    expect(statSync(given).mode & 0o777).toBe(0o700);
  });

  it('is not one of another user, nor a link to one of ours', () => {
    const given = join(root.path, 'ours');
    mkdirSync(given, { mode: 0o700 });
    expect(choose({ given, uid: 4711 }, TMPFS)).toBeUndefined();
    expect(events[0]?.message).toContain('belongs to user');
    symlinkSync(given, join(root.path, 'link'));
    expect(choose({ given: join(root.path, 'link') }, TMPFS)).toBeUndefined();
    expect(events[1]?.message).toContain('not a directory');
    expect(choose({ given }, TMPFS)).toBe(given);
  });

  it('is only looked for where nothing is to be prepared', () => {
    const missing = join(root.path, 'missing');
    expect(choose({ given: missing, prepare: false }, TMPFS)).toBeUndefined();
    expect(existsSync(missing)).toBe(false);
    const given = join(root.path, 'open');
    mkdirSync(given, { mode: 0o755 });
    expect(choose({ given, prepare: false }, TMPFS)).toBe(given);
    expect(statSync(given).mode & 0o777).toBe(0o755);
  });

  it('is looked up in what the system says of a real directory', () => {
    expect([TMPFS, RAMFS]).not.toContain(nodeFileSystem.type('/proc'));
    expect(nodeFileSystem.type('/proc')).toBe(0x9fa0);
  });
});

function choose(options: Partial<Parameters<typeof chooseRuntimeDir>[0]>, type: number): string | undefined {
  // What is not below the test's own directory is refused, so that nothing is made there.
  const fs: FileSystem = {
    ...nodeFileSystem,
    makeDirectory: (path, mode) => {
      if (!path.startsWith(root.path)) throw new Error('not here');
      nodeFileSystem.makeDirectory(path, mode);
    },
    type: () => type,
  };
  return chooseRuntimeDir({
    given: undefined,
    stateDir: '/srv/state',
    env: {},
    report: (event) => events.push(event),
    fs,
    ...options,
  });
}
