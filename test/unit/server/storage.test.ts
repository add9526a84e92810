import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Config, readConfig } from '../../../src/config.ts';
import { adminSocketPath } from '../../../src/keyring/admin-protocol.ts';
import { openStorage } from '../../../src/server/storage.ts';
import { AdminSocket } from '../../../src/signaling/admin.ts';
import { announceServer } from '../../../src/snapshot/run-file.ts';
import { seededRandom } from '../../support/seeded-rng.ts';
import { sampleMedia, temporaryDirectories } from '../../support/snapshots.ts';

const log = pino({ level: 'silent' });
let directories: ReturnType<typeof temporaryDirectories>;
let config: Config;
let open: AdminSocket[];

beforeEach(() => {
  directories = temporaryDirectories();
  open = [];
  config = readConfig({
    STATE_DIR: directories.stateDir,
    KEYS_DIR: directories.keysDir,
    RUNTIME_DIR: directories.runtimeDir,
  });
});

afterEach(() => {
  for (const socket of open) socket.close();
  directories.dispose();
});

/** A server that runs on these directories, and what it has written. */
async function running(path: string): Promise<AdminSocket> {
  const { store } = await openStorage(config, log);
  store.writeMedia(sampleMedia(seededRandom(1), 1, Date.now()));
  const socket = await AdminSocket.listen(path, async () => ({ ok: true }));
  open.push(socket);
  return socket;
}

const mediaFile = (): string => join(directories.runtimeDir, 'media.sealed');
const ownSocket = (): string => adminSocketPath(directories.stateDir, directories.runtimeDir);

describe('storage', () => {
  it('of a server that runs is not opened by a second one, which leaves its contexts alone', async () => {
    await running(ownSocket());
    await expect(openStorage({ ...config, resume: 'strict' }, log)).rejects.toMatchObject({
      code: 'STATE_IN_USE',
      message: expect.stringContaining(directories.stateDir),
    });
    expect(existsSync(mediaFile())).toBe(true);
  });

  it('is not opened either by one with another RUNTIME_DIR', async () => {
    await running(ownSocket());
    announceServer(directories.stateDir, { adminSocket: ownSocket(), runtimeDir: directories.runtimeDir });
    const elsewhere = temporaryDirectories();
    await expect(openStorage({ ...config, runtimeDir: elsewhere.runtimeDir }, log)).rejects.toMatchObject({
      code: 'STATE_IN_USE',
    });
    elsewhere.dispose();
  });

  it('of a server that is just ending is waited for', async () => {
    const socket = await running(ownSocket());
    setTimeout(() => socket.close(), 60);
    const { store } = await openStorage(config, log);
    expect((await store.takeMedia())?.peers.length).toBe(1);
  });

  it('of a server that was killed is opened, whatever it has left', async () => {
    const socket = await running(ownSocket());
    socket.close();
    await leaveSocket(ownSocket());
    announceServer(directories.stateDir, { adminSocket: ownSocket(), runtimeDir: directories.runtimeDir });
    expect(await AdminSocket.isServed(ownSocket())).toBe(false);
    expect((await (await openStorage(config, log)).store.takeMedia())?.peers.length).toBe(1);
  });
});

/** What a process that listened there leaves when it is killed. */
async function leaveSocket(path: string): Promise<void> {
  const code = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('there'))`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  expect(await AdminSocket.isServed(path)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(existsSync(path)).toBe(true);
}
