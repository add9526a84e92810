/**
 * What V8 has compiled of the program, kept beside it: a restart is shorter by what compiling takes. Code is what is kept, so nothing is taken that
 * another user could have written, or that was not made of exactly this program by exactly this Node.
 *
 * Node's own modules are asked for by `getBuiltinModule`: an `import` of one evaluates all that it exports, which takes longer than all of this.
 */
import type { Stats } from 'node:fs';
import type { Script } from 'node:vm';

const { createHash } = process.getBuiltinModule('node:crypto');
const {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} = process.getBuiltinModule('node:fs');
const { dirname, join } = process.getBuiltinModule('node:path');

const DIGEST_BYTES = 32;
const HEAD_BYTES = DIGEST_BYTES + 1;
const OTHERS_MAY_WRITE = 0o022;

export interface CompiledCode {
  readonly data: Buffer;
  /** A server that went on with sessions has run it: what a restart needs is in it. */
  readonly isWhole: boolean;
}

/** Of one program, in a directory `.cache` beside it. Nothing here throws: without it a start takes longer. */
export class CompiledCodeFile {
  readonly #program: Buffer;
  readonly #directory: string;
  readonly #path: string;
  /** A folder may be shared by machines, as a checkout is by a container and its host. */
  readonly #node = `${process.version}-${process.platform}-${process.arch}`;
  /** Who may have written it: whoever could as well have written the program, root, and we. */
  readonly #trusted: ReadonlySet<number>;

  /** @param owner of the program */
  constructor(path: string, program: Buffer, owner: number) {
    this.#program = program;
    this.#directory = join(dirname(path), '.cache');
    this.#path = join(this.#directory, `program-${this.#node}.v8`);
    this.#trusted = new Set([0, owner, process.geteuid?.() ?? 0]);
  }

  read(): CompiledCode | undefined {
    try {
      if (!this.#isOurs(lstatSync(this.#directory))) return undefined;
      const file = openSync(this.#path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const stats = fstatSync(file);
        if (!stats.isFile() || !this.#isOurs(stats)) return undefined;
        const bytes = readFileSync(file);
        const data = bytes.subarray(HEAD_BYTES);
        const digest = this.#digestOf(bytes.subarray(DIGEST_BYTES));
        return digest.equals(bytes.subarray(0, DIGEST_BYTES))
          ? { data, isWhole: bytes[DIGEST_BYTES] === 1 }
          : undefined;
      } finally {
        closeSync(file);
      }
    } catch {
      return undefined;
    }
  }

  write(script: Script, isWhole: boolean): void {
    const fresh = `${this.#path}.new`;
    try {
      mkdirSync(this.#directory, { mode: 0o700, recursive: true });
      if (!this.#isOurs(lstatSync(this.#directory))) return;
      const body = Buffer.concat([Uint8Array.of(isWhole ? 1 : 0), script.createCachedData()]);
      writeFileSync(fresh, Buffer.concat([this.#digestOf(body), body]), { mode: 0o600 });
      renameSync(fresh, this.#path);
    } catch {
      // No room, or no right to write there: the next start is as long as this one.
    }
  }

  /** Only the owner may write to it, and the owner may be trusted. */
  #isOurs({ uid, mode }: Stats): boolean {
    return this.#trusted.has(uid) && (mode & OTHERS_MAY_WRITE) === 0;
  }

  /** Half-written, or of another program: V8 itself compares no more than its version and the length of the source. */
  #digestOf(body: Uint8Array): Buffer {
    const program = createHash('sha256').update(this.#program).digest();
    return createHash('sha256').update(`${this.#node}\n`).update(program).update(body).digest();
  }
}
