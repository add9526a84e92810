/** Makes a TypeScript program one that Node 20, which runs no TypeScript, can run; packages stay outside. Gives its path. */
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** `program` as seen from the top of the checkout; `purpose` names the folder of the cache. */
export async function bundleScript(program, purpose) {
  const directory = join(ROOT, 'node_modules', '.cache', `rekeycast-${purpose}`);
  const outfile = join(directory, `${basename(program, '.ts')}.mjs`);
  mkdirSync(directory, { recursive: true });
  await build({
    entryPoints: [join(ROOT, program)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  return outfile;
}
