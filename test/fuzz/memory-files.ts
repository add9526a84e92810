import type { FileSystem } from '../../src/util/file-system.ts';

const RAM: number = 0x01021994;
/** Of every file: so a copy that was put back gets as far as the decoders. */
const STAMP = '01'.repeat(16);

/** Files of mode 0600 in memory, all in directories of mode 0700: what stands on a file system, without its time. */
export class MemoryFiles implements FileSystem {
  readonly files = new Map<string, Uint8Array>();
  #changes = 0;

  info(path: string): ReturnType<FileSystem['info']> {
    const bytes = this.files.get(path);
    const isDirectory = bytes === undefined && this.list(path).length > 0;
    if (bytes === undefined && !isDirectory) return undefined;
    return {
      mode: isDirectory ? 0o700 : 0o600,
      uid: process.geteuid?.() ?? 0,
      size: bytes?.length ?? 0,
      inode: 1n,
      isDirectory,
      links: 1,
      isFile: !isDirectory,
      isLink: false,
      modifiedAt: this.#changes,
      changedAt: this.#changes,
      stamp: STAMP,
    };
  }

  linkInfo(path: string): ReturnType<FileSystem['linkInfo']> {
    return this.info(path);
  }

  read(path: string, maxBytes: number): Uint8Array | undefined {
    const bytes = this.files.get(path);
    if (bytes !== undefined && bytes.length > maxBytes)
      throw new RangeError(`${path} has ${bytes.length} bytes`);
    return bytes?.slice();
  }

  readStamped(path: string, maxBytes: number): ReturnType<FileSystem['readStamped']> {
    const bytes = this.read(path, maxBytes);
    return bytes && { bytes, stamp: STAMP };
  }

  readInto(path: string, target: Uint8Array): number | undefined {
    const bytes = this.files.get(path);
    if (bytes !== undefined) target.set(bytes.subarray(0, target.length));
    return bytes?.length;
  }

  list(path: string): readonly string[] {
    const inside = `${path}/`;
    const names = [...this.files.keys()].filter((file) => file.startsWith(inside));
    return [...new Set(names.map((file) => file.slice(inside.length).split('/')[0]!))].sort();
  }

  write(path: string, bytes: Uint8Array): void {
    this.#changes++;
    this.files.set(path, bytes.slice());
  }

  async writeDurably(path: string, bytes: Uint8Array): Promise<void> {
    this.write(path, bytes);
  }

  writeOver(path: string, bytes: Uint8Array): void {
    if (this.files.get(path)?.length !== bytes.length) throw new RangeError(`${path} has another size`);
    this.write(path, bytes);
  }

  async syncDirectory(): Promise<void> {}

  append(path: string, bytes: Uint8Array): void {
    this.write(path, Buffer.concat([this.files.get(path) ?? new Uint8Array(0), bytes]));
  }

  async appendDurably(path: string, bytes: Uint8Array): Promise<void> {
    this.append(path, bytes);
  }

  overwrite(path: string): void {
    this.files.get(path)?.fill(0);
  }

  rename(from: string, to: string): void {
    this.keepAs(from, to);
    this.files.delete(from);
  }

  keepAs(from: string, to: string): void {
    const bytes = this.files.get(from);
    if (bytes === undefined) throw Object.assign(new Error(`ENOENT: ${from}`), { code: 'ENOENT' });
    this.write(to, bytes);
  }

  remove(path: string): void {
    this.#changes++;
    this.files.delete(path);
  }

  makeDirectory(): void {}

  changeMode(): void {}

  type(): number {
    return RAM;
  }
}
