/** Builds dist/ (the server with its dependencies in a few files: less to look for is a shorter start) and public/client.js (the page). */
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

// Some dependencies are CommonJS and call require for Node's own modules.
const REQUIRE =
  "import { createRequire as createRequireForBundle } from 'node:module'; const require = createRequireForBundle(import.meta.url);";

rmSync('dist', { recursive: true, force: true });
await Promise.all([
  build({
    entryPoints: { rekeycast: 'src/cli/main.ts' },
    outdir: 'dist',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // Used once, when the certificate is made; their decorators do not survive bundling.
    external: ['@peculiar/*', 'reflect-metadata'],
    target: 'node20.19',
    banner: { js: REQUIRE },
    sourcemap: true,
    minify: true,
    logLevel: 'warning',
  }),
  build({
    entryPoints: ['src/client/main.ts'],
    outfile: 'public/client.js',
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    logLevel: 'warning',
  }),
]);
