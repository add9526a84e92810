import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FuzzTarget, nameOf } from './fuzz.ts';

/** Relative, as tests and `npm run fuzz` both run in the root of the project. */
const ROOT = join('test', 'fuzz', 'corpus');

/** The inputs kept of a target, in the order of their names. */
export function readCorpus(target: FuzzTarget): readonly Uint8Array[] {
  const directory = join(ROOT, nameOf(target));
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .map((name) => new Uint8Array(readFileSync(join(directory, name))));
}

/** Keeps an input under a name that says what it shows. */
export function keep(target: FuzzTarget, outcome: string, input: Uint8Array): void {
  const directory = join(ROOT, nameOf(target));
  mkdirSync(directory, { recursive: true });
  const words = outcome.replaceAll(/[^A-Za-z0-9]+/g, '-').slice(0, 60);
  const hash = createHash('sha256').update(input).digest('hex').slice(0, 8);
  writeFileSync(join(directory, `${words}.${hash}`), input);
}
