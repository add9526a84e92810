/**
 * What V8 has compiled of the program, kept beside it: a restart is shorter by what compiling takes. Code is what is kept, so nothing is taken that
 * another user could have written, or that was not made of exactly this program by exactly this Node.
 *
 * Node's own modules are asked for by `getBuiltinModule`: an `import` of one evaluates all that it exports, which takes longer than all of this.
 */
import type { Stats } from 'node:fs';
import type { Script as CompiledScript } from 'node:vm';

const { createHash } = process.getBuiltinModule('node:crypto');
const {
  chmodSync,
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
const { setFlagsFromString } = process.getBuiltinModule('node:v8');
const { Script } = process.getBuiltinModule('node:vm');

const DIGEST_BYTES = 32;
const HEAD_BYTES = DIGEST_BYTES + 1;
const OTHERS_MAY_WRITE = 0o022;
/** Whoever may run the program may read what was compiled of it: the same program, and nothing that it has worked on. */
const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;
/** In these, V8 compiles each function at once, and looks for nothing that it has compiled of the same text before. The first of each pair sets, the second takes back. */
const EAGER = [
  ['--no-lazy', '--lazy'],
  ['--no-compilation-cache', '--compilation-cache'],
] as const;

export interface CompiledCode {
  readonly data: Buffer;
  /** A server that went on with sessions has run it: what a restart needs is in it. */
  readonly isWhole: boolean;
}

/** Of one program, in a directory `.cache` beside it. Reading and writing throw nothing: without it a start takes longer. */
export class CompiledCodeFile {
  readonly #program: Buffer;
  readonly #programPath: string;
  readonly #directory: string;
  readonly #path: string;
  /** A folder may be shared by machines, as a checkout is by a container and its host. */
  readonly #node = `${process.version}-${process.platform}-${process.arch}`;
  /** Who may have written it: whoever could as well have written the program, root, and we. */
  readonly #trusted: ReadonlySet<number>;

  /** @param owner of the program */
  constructor(path: string, program: Buffer, owner: number) {
    this.#program = program;
    this.#programPath = path;
    this.#directory = join(dirname(path), '.cache');
    this.#path = join(this.#directory, `program-${this.#node}.v8`);
    this.#trusted = new Set([0, owner, process.geteuid?.() ?? 0]);
  }

  /** What V8 is to compile: it compares no more of it than the length. */
  get source(): string {
    return this.#program.toString('latin1');
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

  /** Keeps what has run so far. */
  write(script: CompiledScript, isWhole: boolean): void {
    try {
      this.#put(script.createCachedData(), isWhole);
    } catch {
      // No room, or no right to write there: the next start is as long as this one.
    }
  }

  /**
   * Compiles all of the program, whether anything has run of it or not, for starts that may not write here. Gives where it lies. Throws the system's
   * error where it cannot be written.
   */
  compile(): string {
    for (const [set] of EAGER) setFlagsFromString(set);
    let script: CompiledScript;
    try {
      script = new Script(this.source, { filename: this.#programPath });
    } finally {
      // What is kept is refused by a V8 that has other flags.
      for (const [, unset] of EAGER) setFlagsFromString(unset);
    }
    this.#put(script.createCachedData(), true);
    return this.#path;
  }

  #put(data: Uint8Array, isWhole: boolean): void {
    mkdirSync(this.#directory, { mode: DIRECTORY_MODE, recursive: true });
    if (!this.#isOurs(lstatSync(this.#directory)))
      throw new Error(`others may write to ${this.#directory}, or it belongs to somebody else`);
    chmodSync(this.#directory, DIRECTORY_MODE);
    const body = Buffer.concat([Uint8Array.of(isWhole ? 1 : 0), data]);
    const fresh = `${this.#path}.new`;
    // Others may write to it at no moment, whatever the umask lets them: who had it open by then could change what is run.
    writeFileSync(fresh, Buffer.concat([this.#digestOf(body), body]), { mode: FILE_MODE });
    chmodSync(fresh, FILE_MODE);
    renameSync(fresh, this.#path);
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
