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

const FOR_NODE = {
  bundle: true,
  platform: 'node',
  // Used once, when the certificate is made: their decorators do not survive bundling. And what is optional.
  external: ['@peculiar/*', 'reflect-metadata', 'koffi'],
  target: 'node20.19',
  sourcemap: true,
  minify: true,
  logLevel: 'warning',
  metafile: true,
};

rmSync('dist', { recursive: true, force: true });
const results = await Promise.all([
  buildProgram(),
  build({ ...FOR_NODE, entryPoints: { rekeycast: 'src/cli/start.ts' }, outdir: 'dist', format: 'esm' }),
  buildForNode({ index: 'src/index.ts' }),
  buildForBrowsers('src/client/main.ts', 'public/client.js'),
  buildForBrowsers('src/client/index.ts', 'dist/client.js'),
]);
await buildKernel('dist/srtp-kernel.wasm');
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licensesOf(results.map(({ metafile }) => metafile)));

/**
 * The command as one script: a function of what a module of Node's older kind is given. `import` of Node's own modules, and modules at all, would cost
 * more than what the program does before its first packet; and only a script can be kept compiled (`src/cli/compiled-code.ts`).
 */
function buildProgram() {
  return build({
    ...FOR_NODE,
    entryPoints: ['src/cli/main.ts'],
    outfile: 'dist/program.cjs',
    format: 'cjs',
    // `require` in its place: a script that V8 has from before cannot import.
    supported: { 'dynamic-import': false },
    // What pino would write from another thread with, and Node's threads with it.
    alias: { 'thread-stream': './src/build/no-thread-stream.cjs' },
    // Read as Latin-1, which takes no decoding.
    charset: 'ascii',
    define: { 'import.meta.url': '__url' },
    banner: { js: '(function (exports, require, module, __url) {' },
    footer: { js: '})' },
  });
}

function buildForNode(entryPoints) {
  return build({
    ...FOR_NODE,
    entryPoints,
    outdir: 'dist',
    chunkNames: '[name]-[hash]',
    splitting: true,
    format: 'esm',
    banner: { js: REQUIRE },
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
    minify: true,
    logLevel: 'warning',
    metafile: true,
  });
}
