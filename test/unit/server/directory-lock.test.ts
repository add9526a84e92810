import { linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryLock } from '../../../src/server/directory-lock.ts';
import { testDirectory } from '../../support/test-directory.ts';

const directory = testDirectory();

const take = () => DirectoryLock.take(directory.path);

/** A socket that nobody listens at any more. */
async function leaveSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.first`, resolve));
  linkSync(`${path}.first`, path);
  await new Promise((resolve) => server.close(resolve));
}

describe('the lock on a directory', () => {
  it('is had by one, and by the next when it was let go', async () => {
    const lock = await take();
    await expect(take()).rejects.toMatchObject({ code: 'STATE_IN_USE' });
    lock.release();
    expect(readdirSync(directory.path)).toEqual([]);
    (await take()).release();
  });

  it('is had by exactly one of many who try in the same instant', async () => {
    const tries = await Promise.allSettled(Array.from({ length: 8 }, take));
    const taken = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(taken).toHaveLength(1);
    for (const one of tries) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'STATE_IN_USE' });
    }
    expect(readdirSync(directory.path)).toHaveLength(1);
    taken[0]!.release();
  });

  it('is taken over from a process that was killed, and what is left of it removed', async () => {
    for (const name of ['lock.1', 'lock.2', 'lock.own-dead']) await leaveSocket(join(directory.path, name));
    const lock = await take();
    expect(readdirSync(directory.path)).toEqual(['lock.3']);
    lock.release();
  });

  it('is not taken by one who looked so long ago that the numbers it saw are gone', async () => {
    const taking = take();
    // It has seen an empty directory.
    writeFileSync(join(directory.path, 'lock.5'), '');
    const lock = await taking;
    expect(readdirSync(directory.path)).toEqual(['lock.6']);
    lock.release();
  });

  it.runIf(process.platform === 'linux')(
    'is told from one that cannot be had: the name of its socket would be cut off',
    async () => {
      const longest = 107 - '/lock.own-00000000'.length;
      const long = join(directory.path, 'x'.repeat(longest - directory.path.length - 1));
      mkdirSync(long);
      (await DirectoryLock.take(long)).release();
      mkdirSync(`${long}x`);
      await expect(DirectoryLock.take(`${long}x`)).rejects.toMatchObject({
        code: 'STATE_UNWRITABLE',
        message: expect.stringContaining(`${longest} bytes`),
      });
    },
  );
});
