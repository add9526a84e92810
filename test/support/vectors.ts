import { readFileSync } from 'node:fs';

/** Vectors made elsewhere: `test/vectors/README.md` says by whom. */
export function readVectors<File extends { readonly cases: readonly object[] }>(name: string): File {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')) as File;
}
