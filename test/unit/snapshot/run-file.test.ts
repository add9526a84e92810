import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostname } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { announceServer, readRunFile, serverLiveness } from '../../../src/snapshot/run-file.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();

describe('the word that a server runs', () => {
  it('names this process and its places, whole, until it is withdrawn', () => {
    const runtimeDir = join(root.path, 'run');
    const { withdraw } = announceServer(root.path, {
      adminSocket: relative(process.cwd(), join(runtimeDir, 'admin.sock')),
      runtimeDir: relative(process.cwd(), runtimeDir),
    });
    const run = readRunFile(root.path)!;
    expect(run).toEqual({
      pid: process.pid,
      processStart: expect.stringMatching(/^\d+$/),
      host: hostname(),
      adminSocket: join(runtimeDir, 'admin.sock'),
      runtimeDir,
    });
    expect(serverLiveness(run)).toBe('running');
    withdraw();
    expect(readRunFile(root.path)).toBeUndefined();
  });

  it('names no runtime directory where there is none', () => {
    announceServer(root.path, { adminSocket: '/run/admin.sock', runtimeDir: undefined });
    expect(readRunFile(root.path)).not.toHaveProperty('runtimeDir');
  });

  it('of a process that is gone, or whose id another has now, says that it stopped', async () => {
    announceServer(root.path, { adminSocket: '/run/admin.sock' });
    const run = readRunFile(root.path)!;
    const child = spawn('true');
    await once(child, 'exit');
    expect(serverLiveness({ ...run, pid: child.pid! })).toBe('stopped');
    expect(serverLiveness({ ...run, processStart: '1' })).toBe('stopped');
    expect(serverLiveness({ ...run, host: 'elsewhere' })).toBe('unknown');
  });

  it('is not there where nobody has left it', () => {
    expect(readRunFile(root.path)).toBeUndefined();
  });
});
