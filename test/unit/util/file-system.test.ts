import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/util/bytes.ts';
import { nodeFileSystem as fs } from '../../../src/util/file-system.ts';
import { shred, shredUnlessShared } from '../../../src/util/replace-file.ts';
import { makePipe } from '../../support/pipe.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
let path: string;
let elsewhere: string;

beforeEach(() => {
  path = join(root.path, 'file');
  elsewhere = join(root.path, 'elsewhere');
  writeFileSync(elsewhere, 'not ours');
});

/** What somebody who may write to the directory can put in a file's place. */
const PLANTS = {
  'a symbolic link': () => symlinkSync(elsewhere, path),
  'a link to nothing': () => symlinkSync(join(root.path, 'nothing'), path),
  'a pipe': () => makePipe(path),
  'a directory': () => mkdirSync(path),
} as const;
const names = Object.keys(PLANTS) as (keyof typeof PLANTS)[];

describe('a file', () => {
  it('is read as it was written, and is not there where it is not', () => {
    expect(fs.read(path, 100)).toBeUndefined();
    fs.write(path, utf8('content'));
    expect(fs.read(path, 7)).toEqual(utf8('content'));
    expect(() => fs.read(path, 6)).toThrow(RangeError);
  });

  it('is written over in place: the same file, with other content of that size', () => {
    fs.write(path, utf8('before'));
    const { ino } = lstatSync(path);
    fs.writeOver(path, utf8('after.'));
    expect([readFileSync(path, 'utf8'), lstatSync(path).ino]).toEqual(['after.', ino]);
  });

  it('is not written over with content of another size', () => {
    fs.write(path, utf8('before'));
    expect(() => fs.writeOver(path, utf8('after'))).toThrow(RangeError);
    expect(readFileSync(path, 'utf8')).toBe('before');
  });

  it('is not written over where it is not there', () => {
    expect(() => fs.writeOver(path, utf8('new'))).toThrow();
    expect(readdirSync(root.path)).toEqual(['elsewhere']);
  });

  it('with a second name is not written over, and a new one does not change what the other name has', () => {
    linkSync(elsewhere, path);
    expect(() => fs.writeOver(path, utf8('12345678'))).toThrow(RangeError);
    fs.write(path, utf8('new'));
    expect([readFileSync(path, 'utf8'), readFileSync(elsewhere, 'utf8')]).toEqual(['new', 'not ours']);
  });

  it('with a second name is not zeroed where somebody else may have put it there', () => {
    linkSync(elsewhere, path);
    shredUnlessShared(fs, path);
    expect(readdirSync(root.path)).toEqual(['elsewhere']);
    expect(readFileSync(elsewhere, 'utf8')).toBe('not ours');
    // And of ours it is, under every name.
    linkSync(elsewhere, path);
    shred(fs, path);
    expect(readFileSync(elsewhere, 'utf8')).toBe('\0'.repeat(8));
  });

  it('larger than any of ours is removed without filling the disk with zeroes', () => {
    writeFileSync(path, '');
    truncateSync(path, 2 ** 40);
    expect(() => fs.read(path, 2 ** 26)).toThrow(RangeError);
    shred(fs, path);
    expect(readdirSync(root.path)).toEqual(['elsewhere']);
  });
});

describe.each(names)('%s in the place of a file', (name) => {
  beforeEach(() => {
    PLANTS[name]();
  });

  it('is not read, appended to or written over, and nobody waits for it', () => {
    expect(() => fs.read(path, 100)).toThrow(name === 'a directory' ? /regular|EISDIR/ : RangeError);
    expect(() => fs.append(path, utf8('a line'))).toThrow();
    expect(() => fs.writeOver(path, utf8('12345678'))).toThrow();
    expect(readFileSync(elsewhere, 'utf8')).toBe('not ours');
  });

  it('is replaced by writing, durably too; a directory stays', async () => {
    if (name === 'a directory') {
      expect(() => fs.write(path, utf8('new'))).toThrow();
      await expect(fs.writeDurably(path, utf8('new'))).rejects.toThrow();
      expect(lstatSync(path).isDirectory()).toBe(true);
      return;
    }
    fs.write(path, utf8('new'));
    expect(lstatSync(path).isFile()).toBe(true);
    fs.remove(path);
    PLANTS[name]();
    await fs.writeDurably(path, utf8('new'));
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readFileSync(elsewhere, 'utf8')).toBe('not ours');
    expect(readdirSync(root.path)).toEqual(['elsewhere', 'file']);
  });

  it('is removed by shredding and nothing behind it is zeroed; a directory stays', () => {
    shred(fs, path);
    expect(readdirSync(root.path)).toEqual(name === 'a directory' ? ['elsewhere', 'file'] : ['elsewhere']);
    expect(readFileSync(elsewhere, 'utf8')).toBe('not ours');
  });
});

describe('a directory', () => {
  const deep = () => join(root.path, 'a', 'b', 'c');

  it('is made with those that it lies in, closed as it is told, and again without a word', () => {
    for (let times = 0; times < 2; times++) fs.makeDirectory(deep(), 0o700);
    expect(lstatSync(deep()).mode & 0o777).toBe(0o700);
    expect(readdirSync(deep())).toEqual([]);
  });

  it('is none where a file is in its way, or in the way to it', () => {
    fs.write(path, utf8('a file'));
    expect(() => fs.makeDirectory(path, 0o700)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(() => fs.makeDirectory(join(path, 'in', 'it'), 0o700)).toThrow(
      expect.objectContaining({ code: 'ENOTDIR' }),
    );
  });

  it('is none where a link leads nowhere', () => {
    symlinkSync(join(root.path, 'nowhere'), path);
    expect(() => fs.makeDirectory(path, 0o700)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
  });

  it.runIf(process.platform === 'linux')('that the kernel makes nobody is told at once', () => {
    expect(() => fs.makeDirectory('/proc/none/deeper', 0o700)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
  });
});
