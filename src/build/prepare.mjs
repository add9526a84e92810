/**
 * Makes a checkout ready, doing only what is missing: `node src/build/prepare.mjs build|test`.
 *
 *   build   dependencies from the lockfile, then dist/ (the server) and public/client.js (the page)
 *   test    the same, and the browsers that the end-to-end tests drive
 *
 * Plain JavaScript with no dependency: it runs before any is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const [MAJOR, MINOR] = process.versions.node.split('.').map(Number);
/** Debian packages by the program they bring. */
const TEST_PROGRAMS = [
  { program: '/usr/bin/chromium', debian: 'chromium' },
  { program: '/usr/bin/firefox-esr', debian: 'firefox-esr' },
  { program: '/usr/bin/openssl', debian: 'openssl' },
  { program: '/usr/bin/gnutls-serv', debian: 'gnutls-bin' },
  { program: '/usr/bin/turnserver', debian: 'coturn' },
  { program: '/usr/bin/systemd-socket-activate', debian: 'systemd' },
  { program: '/usr/bin/promtool', debian: 'prometheus' },
];

if (MAJOR < 20 || (MAJOR === 20 && MINOR < 19))
  fail(`rekeycast needs Node 20.19 or later; this is ${process.version}`);
process.chdir(ROOT);
once('node_modules/.prepared', ['package.json', 'package-lock.json'], [], installDependencies);
once(
  'dist/.prepared',
  ['package-lock.json', 'tsconfig.json'],
  ['src'],
  build,
  'dist/rekeycast.js',
  'dist/program.cjs',
  'public/client.js',
);
if (process.argv[2] === 'test') installTestPrograms();

/** Does `work` unless it was done for exactly these inputs; `stamp` holds the digest of them. */
function once(stamp, files, directories, work, ...outputs) {
  const digest = digestOf([...files, ...directories.flatMap(filesBelow)]);
  const done = existsSync(stamp) && readFileSync(stamp, 'utf8') === digest;
  if (done && outputs.every((output) => existsSync(output))) return;
  work();
  mkdirSync(join(stamp, '..'), { recursive: true });
  writeFileSync(stamp, digest);
}

function installDependencies() {
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], 'installing dependencies');
}

function build() {
  run(process.execPath, ['src/build/bundle.mjs'], 'building');
}

function installTestPrograms() {
  const missing = TEST_PROGRAMS.filter(({ program }) => !existsSync(program)).map(({ debian }) => debian);
  if (missing.length === 0) return;
  const words = `these Debian packages are missing, install them: apt-get install ${missing.join(' ')}`;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) fail(words);
  process.stderr.write(`installing ${missing.join(', ')}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) =>
    spawnSync('apt-get', ['-q', '-y', ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  if (!apt('update') || !apt('install', '--no-install-recommends', ...missing)) fail(words);
}

function run(command, args, words) {
  process.stderr.write(`${words}\n`);
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined || status !== 0) fail(`${words} failed: ${command} ${args.join(' ')}`);
}

function filesBelow(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? filesBelow(join(directory, entry.name)) : [join(directory, entry.name)],
    )
    .sort();
}

function digestOf(files) {
  const hash = createHash('sha256').update(process.version);
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  return hash.digest('hex');
}

function fail(words) {
  process.stderr.write(`${words}\n`);
  process.exit(1);
}
