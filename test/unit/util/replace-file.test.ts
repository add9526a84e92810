import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { decodeUtf8, utf8 } from '../../../src/util/bytes.ts';
import { type FileSystem, nodeFileSystem } from '../../../src/util/file-system.ts';
import { replace, replaceDurably, shred } from '../../../src/util/replace-file.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
let path: string;

beforeEach(() => {
  path = join(root.path, 'file');
  writeFileSync(path, 'old');
});

const content = (): string => readFileSync(path, 'utf8');
const ways: [string, (fs: FileSystem, bytes: Uint8Array) => void | Promise<void>][] = [
  ['in RAM', (fs, bytes) => replace(fs, path, bytes)],
  ['durably', (fs, bytes) => replaceDurably(fs, path, bytes)],
];

describe.each(ways)('replacing a file %s', (_name, put) => {
  it('leaves the new content and nothing else', async () => {
    await put(nodeFileSystem, utf8('new'));
    expect(content()).toBe('new');
    expect(readdirSync(root.path)).toEqual(['file']);
    expect(nodeFileSystem.info(path)?.mode).toBe(0o600);
  });

  it.each(['write', 'rename'] as const)(
    'leaves the old content and nothing else where %s fails, and says why',
    async (step) => {
      const fail = (): never => {
        throw new Error('no space left');
      };
      // As on a full disk: a part of it is there.
      const cut = (to: string): never => {
        writeFileSync(to, 'n');
        return fail();
      };
      const fs: FileSystem = {
        ...nodeFileSystem,
        ...(step === 'rename' ? { rename: fail } : { write: cut, writeDurably: async (to) => cut(to) }),
      };
      await expect((async () => put(fs, utf8('new')))()).rejects.toMatchObject({
        code: 'STATE_UNWRITABLE',
        message: `${path} cannot be written: no space left`,
      });
      expect(content()).toBe('old');
      expect(readdirSync(root.path)).toEqual(['file']);
    },
  );
});

describe('replacing a file durably', () => {
  it('gives a word when the new content is safe and the old one still in its place', async () => {
    let seen: string[] = [];
    await replaceDurably(nodeFileSystem, path, utf8('new'), () => {
      seen = readdirSync(root.path).map((name) => readFileSync(join(root.path, name), 'utf8'));
    });
    expect(seen.sort()).toEqual(['new', 'old']);
    expect(content()).toBe('new');
  });
});

describe('shredding a file', () => {
  it('zeroes it before it removes it', () => {
    let zeroed: string | undefined;
    const remove = (gone: string): void => {
      zeroed = decodeUtf8(readFileSync(gone));
      nodeFileSystem.remove(gone);
    };
    shred({ ...nodeFileSystem, remove }, path);
    expect(zeroed).toBe('\0\0\0');
    expect(readdirSync(root.path)).toEqual([]);
  });

  it('does nothing where there is none', () => {
    shred(nodeFileSystem, join(root.path, 'none'));
    expect(content()).toBe('old');
  });

  it('does not remove what it cannot zero', () => {
    const overwrite = (): never => {
      throw new Error('input/output error');
    };
    expect(() => shred({ ...nodeFileSystem, overwrite }, path)).toThrow('input/output error');
    expect(content()).toBe('old');
  });
});
