import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  checkPorts,
  foldersLeftAlone,
  removeFolders,
  workersToRun,
} from '../../../../src/server/workers/folders.ts';
import { MAX_WORKERS, ownFolder, placesOf } from '../../../../src/snapshot/worker-folders.ts';
import { nodeFileSystem } from '../../../../src/util/file-system.ts';
import { testDirectory } from '../../../support/test-directory.ts';

const root = testDirectory();

function stateDir(name: string, ...files: readonly string[]): string {
  const directory = join(root.path, name);
  for (const file of files) {
    mkdirSync(join(directory, file, '..'), { recursive: true });
    writeFileSync(join(directory, file), 'x');
  }
  return directory;
}

it('runs as many workers as are wanted', () => {
  expect(workersToRun(3, stateDir('none'))).toEqual([1, 2, 3]);
  expect(workersToRun(0, stateDir('none'))).toEqual([]);
});

it('runs those of an earlier process too, that have left something', () => {
  const directory = stateDir(
    'left',
    'worker-2/identity.sealed',
    'worker-4/identity.previous.sealed',
    'worker-5/media.anchor',
    'worker-6/audit.log',
    'worker-0/identity.sealed',
    'worker-x/identity.sealed',
  );
  expect(workersToRun(1, directory)).toEqual([1, 2, 4, 5]);
});

it('runs no more than there may be, whatever lies there, and leaves the rest alone', () => {
  const planted = [65, 66, 999, 1_000].map((number) => `worker-${number}/identity.sealed`);
  const directory = stateDir('planted', 'worker-64/identity.sealed', ...planted);
  writeFileSync(join(directory, 'worker-70'), 'x');
  expect(workersToRun(1, directory)).toEqual([1, 64]);
  expect(workersToRun(MAX_WORKERS, directory)).toHaveLength(64);
  expect([...foldersLeftAlone(directory)].sort()).toEqual([
    'worker-1000',
    'worker-65',
    'worker-66',
    'worker-999',
  ]);
  expect(placesOf({ stateDir: directory, runtimeDir: undefined }, nodeFileSystem)).toHaveLength(2);
  for (const file of planted) expect(existsSync(join(directory, file))).toBe(true);
});

it('leaves nothing alone that is a worker’s', () => {
  const directory = stateDir('own', 'worker-1/identity.sealed', 'worker-64/identity.sealed', 'worker-x/a');
  expect(foldersLeftAlone(directory)).toEqual([]);
  expect(foldersLeftAlone(join(directory, 'worker-1', 'identity.sealed'))).toEqual([]);
});

it('has a port for each, or says for whom there is none', () => {
  const stateDir = '/state';
  const at = (udpPort: number, port?: number) => ({ stateDir, udpPort, announced: { addresses: [], port } });
  expect(() => checkPorts([1, 40], at(65_495, 65_495))).not.toThrow();
  expect(() => checkPorts([], at(65_535))).not.toThrow();
  expect(() => checkPorts([1, 40], at(65_496))).toThrow(/\/state\/worker-40 .* UDP_PORT is 65496/);
  expect(() => checkPorts([40], at(8_080, 65_500))).toThrow(/ANNOUNCED_PORT is 65500/);
});

it('leaves it to others to say what is wrong with the directory', () => {
  expect(workersToRun(1, join(stateDir('file', 'identity.sealed'), 'identity.sealed'))).toEqual([1]);
});

it('follows no link', () => {
  const directory = stateDir('link', 'identity.sealed');
  symlinkSync(stateDir('elsewhere', 'identity.sealed'), join(directory, 'worker-1'));
  expect(workersToRun(0, directory)).toEqual([]);
  expect(placesOf({ stateDir: directory, runtimeDir: undefined }, nodeFileSystem)).toEqual([
    { stateDir: directory, runtimeDir: undefined },
  ]);
  expect(() => ownFolder(directory, 1, nodeFileSystem)).toThrow(/worker-1 is a symbolic link/);
  expect(ownFolder(directory, 2, nodeFileSystem)).toBe(join(directory, 'worker-2'));
});

it('writes in a directory of its own, and in nothing else', () => {
  const directory = stateDir('no-directory', 'worker-1', 'worker-2/identity.sealed');
  expect(() => ownFolder(directory, 1, nodeFileSystem)).toThrow(/worker-1 is no directory/);
  expect(ownFolder(directory, 2, nodeFileSystem)).toBe(join(directory, 'worker-2'));
});

it('knows of the places of all that are there, in either directory', () => {
  const state = stateDir('state', 'worker-1/identity.sealed');
  const runtime = stateDir('runtime', 'worker-1/media.sealed', 'worker-3/media.sealed');
  expect(placesOf({ stateDir: state, runtimeDir: runtime }, nodeFileSystem)).toEqual([
    { stateDir: state, runtimeDir: runtime },
    { stateDir: join(state, 'worker-1'), runtimeDir: join(runtime, 'worker-1') },
    { stateDir: join(state, 'worker-3'), runtimeDir: join(runtime, 'worker-3') },
  ]);
});

it('removes what a worker has left, and nothing that was put aside', () => {
  const state = stateDir(
    'remove',
    'worker-1/identity.sealed',
    'worker-2/identity.sealed',
    'worker-2/identity.sealed.damaged-1',
  );
  const runtime = stateDir('remove-runtime', 'worker-1/media.sealed', 'worker-1/identity.anchor');
  removeFolders(state, runtime, 1);
  removeFolders(state, runtime, 2);
  expect(existsSync(join(state, 'worker-1'))).toBe(false);
  expect(existsSync(join(runtime, 'worker-1'))).toBe(false);
  expect(nodeFileSystem.list(join(state, 'worker-2'))).toEqual(['identity.sealed.damaged-1']);
});
