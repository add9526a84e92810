/** `npm run fuzz [-- target ...] [--inputs n] [--seed s]`: bundles the targets and fuzzes them for long. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bundleScript } from '../../src/build/bundle-script.mjs';

const outfile = await bundleScript('test/fuzz/main.ts', 'fuzz');
// The collector has to be called before what is still held can be measured.
const args = ['--enable-source-maps', '--expose-gc', outfile, ...process.argv.slice(2)];
const cwd = fileURLToPath(new URL('../../', import.meta.url));
process.exitCode = spawnSync(process.execPath, args, { cwd, stdio: 'inherit' }).status ?? 1;
