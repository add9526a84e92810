import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleScript } from '../src/build/bundle-script.mjs';

// `node bench/run.mjs <name> [arguments]`: bundles bench/<name>.ts and runs it.
// The benchmark finds its own arguments where a program expects them.
process.chdir(fileURLToPath(new URL('../', import.meta.url)));
const [name] = process.argv.splice(2, 1);
if (name === undefined || !existsSync(`bench/${name}.ts`)) {
  // The others are parts of these.
  const whole = readdirSync('bench').filter(
    (file) => file.endsWith('.ts') && readFileSync(`bench/${file}`, 'utf8').includes('const USAGE'),
  );
  console.error('usage: node bench/run.mjs <name> [--help]');
  console.error(`names: ${whole.map((file) => file.replace(/\.ts$/, '')).join(', ')}`);
  process.exit(2);
}
await import(pathToFileURL(await bundleScript(`bench/${name}.ts`, 'bench')).href);
