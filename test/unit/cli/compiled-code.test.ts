import fs, {
  chmodSync,
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CompiledCodeFile } from '../../../src/cli/compiled-code.ts';
import { testDirectory } from '../../support/test-directory.ts';

const SOURCE = '(function () { return 42; })';
const NOBODY = 65_534;
const OURS = process.getuid!();

const place = testDirectory();
let directory: string;
let path: string;
const fileOf = (source = SOURCE, owner = OURS): CompiledCodeFile =>
  new CompiledCodeFile(join(directory, 'program.cjs'), Buffer.from(source), owner);

beforeEach(() => {
  directory = place.path;
  path = join(directory, '.cache', `program-${process.version}-${process.platform}-${process.arch}.v8`);
});

function write(isWhole = true, source = SOURCE): void {
  fileOf(source).write(new Script(source), isWhole);
}

describe('CompiledCodeFile', () => {
  it.each([true, false])('gives what it has kept, of which V8 makes the program (%s)', (isWhole) => {
    expect(fileOf().read()).toBeUndefined();
    write(isWhole);
    const kept = fileOf().read()!;
    expect(kept.isWhole).toBe(isWhole);
    const script = new Script(SOURCE, { cachedData: kept.data });
    expect(script.cachedDataRejected).toBe(false);
    expect(script.runInThisContext()()).toBe(42);
  });

  it('compiles all of a program, what has never run too, for whoever may run it', () => {
    const source = `(function () { return [${Array.from({ length: 200 }, (_, i) => `() => ${i} + 0`)}][0]; })`;
    write(false, source);
    const ran = fileOf(source).read()!;
    expect(fileOf(source).compile()).toBe(path);
    const all = fileOf(source).read()!;
    expect(all.isWhole).toBe(true);
    expect(all.data.length).toBeGreaterThan(ran.data.length * 2);
    const script = new Script(source, { cachedData: all.data });
    expect(script.cachedDataRejected).toBe(false);
    expect(script.runInThisContext()()()).toBe(0);
    expect([join(directory, '.cache'), path].map((one) => statSync(one).mode & 0o777)).toEqual([
      0o755, 0o644,
    ]);
    // V8 is as before: what it keeps from now on is good as well.
    write(true, source);
    expect(new Script(source, { cachedData: fileOf(source).read()!.data }).cachedDataRejected).toBe(false);
  });

  it('is at no moment open to others, whatever the umask', async () => {
    const open: number[] = [];
    const chmod = vi.spyOn(fs, 'chmodSync').mockImplementation((one) => {
      open.push(statSync(one).mode & 0o022);
    });
    vi.resetModules();
    const umask = process.umask(0);
    try {
      const fresh = await import('../../../src/cli/compiled-code.ts');
      new fresh.CompiledCodeFile(join(directory, 'program.cjs'), Buffer.from(SOURCE), OURS).compile();
    } finally {
      process.umask(umask);
      chmod.mockRestore();
    }
    expect(open).toEqual([0, 0]);
  });

  it('says why it cannot compile, and changes nothing', () => {
    write();
    const before = readFileSync(path);
    chmodSync(join(directory, '.cache'), 0o777);
    expect(() => fileOf().compile()).toThrow(/others may write to/);
    expect(readFileSync(path)).toEqual(before);
    rmSync(join(directory, '.cache'), { recursive: true });
    writeFileSync(join(directory, '.cache'), '');
    expect(() => fileOf().compile()).toThrow(/EEXIST|ENOTDIR/);
  });

  it('gives nothing of another program, of the same length too', () => {
    write();
    expect(fileOf(SOURCE.replace('42', '43')).read()).toBeUndefined();
    expect(fileOf().read()).toBeDefined();
  });

  it('gives nothing of another system, whatever it is called', () => {
    const { platform } = process;
    write();
    try {
      Object.defineProperty(process, 'platform', { value: 'other' });
      expect(fileOf().read()).toBeUndefined();
      copyFileSync(path, path.replace(`-${platform}-`, '-other-'));
      expect(fileOf().read()).toBeUndefined();
    } finally {
      Object.defineProperty(process, 'platform', { value: platform });
    }
    expect(fileOf().read()).toBeDefined();
  });

  it('gives nothing that was changed at any byte, or cut', () => {
    write();
    const bytes = readFileSync(path);
    for (const at of [0, 31, 32, 33, bytes.length >> 1, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      writeFileSync(path, changed);
      expect(fileOf().read(), `byte ${at}`).toBeUndefined();
    }
    for (const length of [0, 1, 32, 33, bytes.length - 1]) {
      writeFileSync(path, bytes.subarray(0, length));
      expect(fileOf().read(), `${length} bytes`).toBeUndefined();
    }
    writeFileSync(path, bytes);
    expect(fileOf().read()).toBeDefined();
  });

  it.each([0o620, 0o602])('gives nothing that others may write to (%i)', (mode) => {
    write();
    chmodSync(path, mode);
    expect(fileOf().read()).toBeUndefined();
    chmodSync(path, 0o600);
    expect(fileOf().read()).toBeDefined();
  });

  it('neither reads nor writes in a directory that others may write to', () => {
    write();
    const before = readFileSync(path);
    chmodSync(join(directory, '.cache'), 0o777);
    expect(fileOf().read()).toBeUndefined();
    write(false);
    expect(readFileSync(path)).toEqual(before);
  });

  it('follows no link', () => {
    write();
    renameSync(path, `${path}.real`);
    symlinkSync(`${path}.real`, path);
    expect(fileOf().read()).toBeUndefined();
    renameSync(join(directory, '.cache'), join(directory, 'elsewhere'));
    renameSync(
      join(directory, 'elsewhere', `${path.slice(path.lastIndexOf('/') + 1)}.real`),
      join(directory, 'elsewhere', path.slice(path.lastIndexOf('/') + 1)),
    );
    symlinkSync(join(directory, 'elsewhere'), join(directory, '.cache'));
    expect(fileOf().read()).toBeUndefined();
  });

  it.runIf(OURS === 0)('gives what the owner of the program has written, and of no other user', async () => {
    write();
    const { chownSync } = await import('node:fs');
    for (const one of [path, join(directory, '.cache')]) chownSync(one, NOBODY, NOBODY);
    expect(fileOf(SOURCE, NOBODY).read()).toBeDefined();
    expect(fileOf(SOURCE, OURS).read()).toBeUndefined();
  });

  it('does without where it cannot write', () => {
    writeFileSync(join(directory, '.cache'), '');
    write();
    expect(fileOf().read()).toBeUndefined();
  });
});
