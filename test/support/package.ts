import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './process.ts';

export interface Packed {
  readonly tarball: string;
  readonly size: number;
  readonly unpackedSize: number;
  /** Paths in the package. */
  readonly files: readonly string[];
}

/** `npm pack` of this checkout as it is built. */
export function pack(directory: string): Packed {
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', directory];
  const output = execFileSync('npm', args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [packed] = JSON.parse(output) as [
    { filename: string; size: number; unpackedSize: number; files: { path: string }[] },
  ];
  return {
    tarball: join(directory, packed.filename),
    size: packed.size,
    unpackedSize: packed.unpackedSize,
    files: packed.files.map(({ path }) => path),
  };
}

/** Installs a package into a folder, with no registry to be asked and nothing in the cache. */
export function install(tarball: string, folder: string, cache: string): void {
  mkdirSync(folder, { recursive: true });
  execFileSync('npm', ['install', '--prefix', folder, '--omit=dev', '--ignore-scripts', tarball], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'ignore'],
    env: offline(cache),
  });
}

/** The environment of an npm that reaches nobody. */
export const offline = (cache: string): Record<string, string> => ({
  PATH: process.env.PATH ?? '',
  HOME: cache,
  npm_config_cache: cache,
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
});
