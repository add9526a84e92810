/**
 * Runs tests: `node test/run.mjs [folder ...]`, all folders without one. Unit and scenario tests run side by side, and so does what spends
 * its time waiting (`test/e2e/waiting`); what else starts servers and browsers runs one file after the other. The last line is
 * `N passed, N failed`.
 */
import { existsSync } from 'node:fs';
import { startVitest } from 'vitest/node';

const FOLDERS = ['unit', 'scenario', 'interop', 'security', 'fuzz', 'packaging', 'e2e'];
const ONE_AT_A_TIME = new Set(['interop', 'security', 'packaging', 'e2e']);
/** Minutes without a server, a network or a computer: nothing to do for a processor, so that they pass at the same time. */
const WAITING = 'test/e2e/waiting/**/*.test.ts';

const wanted = process.argv.slice(2);
const folders = FOLDERS.filter(
  (folder) => (wanted.length === 0 || wanted.includes(folder)) && existsSync(`test/${folder}`),
);
const unknown = wanted.filter((folder) => !FOLDERS.includes(folder));
if (unknown.length > 0) {
  process.stderr.write(`there is no test folder ${unknown.join(', ')}; there are ${FOLDERS.join(', ')}\n`);
  process.exit(2);
}

let passed = 0;
let failed = 0;
const testsIn = (folder) => `test/${folder}/**/*.test.ts`;
const sideBySide = folders.filter((folder) => !ONE_AT_A_TIME.has(folder));
const oneByOne = folders.filter((folder) => ONE_AT_A_TIME.has(folder));
await runGroup(sideBySide.map(testsIn), { fileParallelism: true });
await runGroup(oneByOne.map(testsIn), { fileParallelism: false, exclude: [WAITING] });
if (folders.includes('e2e')) await runGroup([WAITING], { fileParallelism: true, maxWorkers: 2 });
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

async function runGroup(include, options) {
  if (include.length === 0) return;
  const vitest = await startVitest('test', [], {
    ...options,
    watch: false,
    include,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    passWithNoTests: true,
    reporters: process.env.CI === 'true' ? ['verbose'] : ['default'],
  });
  for (const module of vitest.state.getTestModules()) {
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed++;
      // A skipped test is one that did not run, and nothing here may be left out silently.
      else failed++;
    }
    failed += module.errors().length;
  }
  failed += vitest.state.getUnhandledErrors().length;
  await vitest.close();
}
