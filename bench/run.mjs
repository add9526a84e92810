import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleScript } from '../src/build/bundle-script.mjs';

// `node bench/run.mjs <name> [arguments]`: bundles bench/<name>.ts and runs it.
// The benchmark finds its own arguments where a program expects them.
const [name] = process.argv.splice(2, 1);
if (name === undefined) {
  console.error('usage: node bench/run.mjs <name>');
  process.exit(2);
}
process.chdir(fileURLToPath(new URL('../', import.meta.url)));
await import(pathToFileURL(await bundleScript(`bench/${name}.ts`, 'bench')).href);
