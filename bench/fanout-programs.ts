import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../test/support/process.ts';

/** The programs that are measured beside the server: how each is built, and called. */

const CACHE = join(ROOT, 'node_modules', '.cache', 'rekeycast-rivals');
/** Made by `bench/rivals/prepare.mjs`. */
const LIBSRTP = join(CACHE, 'libsrtp');

export interface Program {
  readonly command: readonly string[];
  /** Where its AES comes from. */
  readonly aes: string;
}

/** `undefined` where it cannot be had here. The arguments of all are those of `fanout.c`. */
export function programOf(way: string): Program | undefined {
  if (way === 'js-loop')
    return {
      command: [process.execPath, join(ROOT, 'bench', 'run.mjs'), 'fanout-plain'],
      aes: `node:crypto, OpenSSL ${process.versions.openssl}`,
    };
  const [library, path] = way.split('-');
  if (path === undefined || (library !== 'c' && library !== 'debian')) return undefined;
  const binary = binaryOf(library);
  return binary === undefined ? undefined : { command: [binary, path], aes: aesOf(binary) };
}

const compiled = new Map<string, string | undefined>();

function binaryOf(library: 'c' | 'debian'): string | undefined {
  if (!compiled.has(library)) compiled.set(library, compile(library));
  return compiled.get(library);
}

function compile(library: 'c' | 'debian'): string | undefined {
  if (library === 'c' && !existsSync(LIBSRTP)) return undefined;
  mkdirSync(CACHE, { recursive: true });
  const binary = join(CACHE, `fanout-${library}`);
  const link =
    library === 'debian' ? ['-lsrtp2'] : [`-I${LIBSRTP}/include`, join(LIBSRTP, 'libsrtp2.a'), '-lcrypto'];
  try {
    const source = join(ROOT, 'bench', 'fanout.c');
    execFileSync('gcc', ['-O2', '-o', binary, source, ...link], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  return binary;
}

/** The library of cryptography that it is linked with, itself or by libsrtp2. */
function aesOf(binary: string): string {
  const libraries = execFileSync('ldd', [binary], { encoding: 'latin1' });
  if (libraries.includes('libcrypto')) return 'libsrtp2 over OpenSSL';
  return libraries.includes('libnss3') ? 'libsrtp2 over NSS' : 'libsrtp2, its own';
}
