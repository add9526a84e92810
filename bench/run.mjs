import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

// `node bench/run.mjs <name> [arguments]`: bundles bench/<name>.ts (Node 20 runs no TypeScript) and runs it.
const root = dirname(dirname(fileURLToPath(import.meta.url)));
// The benchmark finds its own arguments where a program expects them.
const [name] = process.argv.splice(2, 1);
if (name === undefined) {
  console.error('usage: node bench/run.mjs <name>');
  process.exit(2);
}
process.chdir(root);
const directory = join(root, 'node_modules', '.cache', 'rekeycast-bench');
const outfile = join(directory, `${name}.mjs`);
mkdirSync(directory, { recursive: true });
await build({
  entryPoints: [join(root, 'bench', `${name}.ts`)],
  outfile,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: 'inline',
  logLevel: 'warning',
});
await import(pathToFileURL(outfile).href);
