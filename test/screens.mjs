/** `npm run screens`: bundles test/screens.ts and runs it. */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleScript } from '../src/build/bundle-script.mjs';

process.chdir(fileURLToPath(new URL('../', import.meta.url)));
await import(pathToFileURL(await bundleScript('test/screens.ts', 'screens')).href);
