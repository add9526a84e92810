/**
 * Builds dist/ (the server with its dependencies in a few files: less to look for is a shorter start; the kernel of its media path; and the
 * libraries, of the server and of the page) and public/client.js (the page).
 */
import { rmSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { buildKernel } from './kernel.mjs';
import { licensesOf } from './licenses.mjs';

// Some dependencies are CommonJS and call require for Node's own modules.
const REQUIRE =
  "import { createRequire as createRequireForBundle } from 'node:module'; const require = createRequireForBundle(import.meta.url);";

rmSync('dist', { recursive: true, force: true });
const results = await Promise.all([
  // Apart: what the library shares with the program would be files of its own, which the program had to look for.
  buildForNode({ rekeycast: 'src/cli/main.ts' }),
  buildForNode({ index: 'src/index.ts' }),
  buildForBrowsers('src/client/main.ts', 'public/client.js'),
  buildForBrowsers('src/client/index.ts', 'dist/client.js'),
]);
await buildKernel('dist/srtp-kernel.wasm');
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licensesOf(results.map(({ metafile }) => metafile)));

function buildForNode(entryPoints) {
  return build({
    entryPoints,
    outdir: 'dist',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // Used once, when the certificate is made: their decorators do not survive bundling. And what is optional.
    external: ['@peculiar/*', 'reflect-metadata', 'koffi'],
    target: 'node20.19',
    banner: { js: REQUIRE },
    sourcemap: true,
    minify: false,
    logLevel: 'warning',
    metafile: true,
  });
}

function buildForBrowsers(entryPoint, outfile) {
  return build({
    entryPoints: [entryPoint],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: false,
    logLevel: 'warning',
    metafile: true,
  });
}
