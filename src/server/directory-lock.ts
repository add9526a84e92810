/**
 * One server at a time on a directory, also of two that start in the same instant. The lock is a unix socket that its holder listens at: the
 * kernel lets go of it with the process, however that ends, and nobody has to judge what a killed process has left.
 *
 *   1. listen at a name of one's own
 *   2. whoever answers at the newest `lock.<n>` has the directory; if nobody does, its holder is dead
 *   3. link the own socket to `lock.<n + 1>`: of several who try, one succeeds
 *   4. where there is a newer one by now, that one has it: the numbers seen in 2 were of long ago
 *   5. remove the older ones, which nobody can win any more
 */
import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { messageOf, RekeycastError } from '../errors.ts';
import { AdminSocket } from '../signaling/admin.ts';
import { errorCode } from '../util/file-system.ts';

/** A server that is just ending is waited for. */
const TRIES = 10;
const INTERVAL_MS = 50;
/** unix(7), and its like elsewhere: a socket's address holds no longer path. Node cuts one off without a word. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;
const OWN_SUFFIX = '.own-';
const OWN_RANDOM_BYTES = 4;

export interface LockOptions {
  /** Of several locks on one directory, which one. */
  readonly name?: string;
  /** What is said to whom another process is in the way of. */
  readonly words?: string;
}

export class DirectoryLock {
  readonly #server: Server;
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** Throws `STATE_IN_USE` where another process has it, `STATE_UNWRITABLE` where no socket can have so long a path. */
  static async take(directory: string, { name = 'lock', words }: LockOptions = {}): Promise<DirectoryLock> {
    const room = MAX_SOCKET_PATH_BYTES - `/${name}${OWN_SUFFIX}`.length - 2 * OWN_RANDOM_BYTES;
    if (Buffer.byteLength(directory) > room)
      throw new RekeycastError(
        'STATE_UNWRITABLE',
        `${directory} cannot be used: sockets lie in it, so its path has at most ${room} bytes. Give RUNTIME_DIR (STATE_DIR, where there is none) a shorter one`,
      );
    for (let tries = 1; ; tries++) {
      const lock = await DirectoryLock.#try(directory, name);
      if (lock !== undefined) return lock;
      if (tries === TRIES)
        throw new RekeycastError(
          'STATE_IN_USE',
          words ?? `another server has ${directory}: stop it, or give this one directories of its own`,
        );
      await new Promise((resume) => setTimeout(resume, INTERVAL_MS));
    }
  }

  /** Whether a process has it. Where there is no such directory, nobody does. */
  static async isHeld(directory: string, name = 'lock'): Promise<boolean> {
    if (!existsSync(directory)) return false;
    return AdminSocket.isServed(join(directory, `${name}.${Math.max(0, ...numbersIn(directory, name))}`));
  }

  release(): void {
    rmSync(this.#path, { force: true });
    this.#server.close();
  }

  static async #try(directory: string, name: string): Promise<DirectoryLock | undefined> {
    const numbers = () => numbersIn(directory, name);
    const pathOf = (number: number): string => join(directory, `${name}.${number}`);
    const newest = Math.max(0, ...numbers());
    if (await AdminSocket.isServed(pathOf(newest))) return undefined;
    const own = join(directory, `${name}${OWN_SUFFIX}${randomBytes(OWN_RANDOM_BYTES).toString('hex')}`);
    const server = await listen(own);
    const path = pathOf(newest + 1);
    const won = link(own, path) && numbers().every((number) => number <= newest + 1);
    rmSync(own, { force: true });
    if (!won) {
      server.close();
      return undefined;
    }
    for (const number of numbers()) {
      if (number <= newest) rmSync(pathOf(number), { force: true });
    }
    await removeOwnNames(directory, name);
    return new DirectoryLock(server, path);
  }
}

const numbersIn = (directory: string, name: string): number[] =>
  readdirSync(directory).flatMap((found) => {
    const number = found.startsWith(`${name}.`) ? found.slice(name.length + 1) : '';
    return /^\d{1,15}$/.test(number) ? [Number(number)] : [];
  });

/** Whether the second name is ours now. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    // The own name is gone where somebody took it for a dead one's, in the moment before it was listened at.
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** What those have left who were killed between steps 1 and 3. */
async function removeOwnNames(directory: string, name: string): Promise<void> {
  for (const found of readdirSync(directory)) {
    const path = join(directory, found);
    if (found.startsWith(`${name}${OWN_SUFFIX}`) && !(await AdminSocket.isServed(path)))
      rmSync(path, { force: true });
  }
}

/** Listens, and keeps no process alive. */
async function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  }).catch((cause: unknown) => {
    throw new RekeycastError('STATE_UNWRITABLE', `${path} cannot be listened at: ${messageOf(cause)}`, {
      cause,
    });
  });
  return server.unref();
}
