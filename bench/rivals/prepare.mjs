// `node bench/rivals/prepare.mjs`: fetches and builds, below node_modules/.cache, what `npm run bench:fanout` compares the server with and does not
// find on the machine: libsrtp2 of Debian's source package over OpenSSL (Debian builds it over NSS), and mediasoup with a worker in the package.
// It takes gcc, make and libssl-dev. No script of a package is run.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/rekeycast-rivals', import.meta.url));
const LIBSRTP = {
  url: 'http://deb.debian.org/debian/pool/main/libs/libsrtp2/libsrtp2_2.5.0.orig.tar.gz',
  sha256: '8a43ef8e9ae2b665292591af62aa1a4ae41e468b6d98d8258f91478735da4e09',
};
/** Installed with the hash that package-lock.json has below. */
const MEDIASOUP = '@mafalda-sfu/mediasoup@3.11.24';
const MEDIASOUP_INTEGRITY =
  'sha512-VBB09iKXnRQ2rI1Nql+gk2CQZVvi4DZTigMirP0hpL+nmZQbie2srOaGoZuYjIFs/NHO7dYr5McAAUwsbZ9umQ==';

mkdirSync(CACHE, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'rekeycast-rivals-'));
try {
  await prepareLibsrtp();
  prepareMediasoup();
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function prepareLibsrtp() {
  const response = await fetch(LIBSRTP.url);
  if (!response.ok) throw new Error(`${LIBSRTP.url}: ${response.status}`);
  const archive = Buffer.from(await response.arrayBuffer());
  check(createHash('sha256').update(archive).digest('hex'), LIBSRTP.sha256, LIBSRTP.url);
  const source = join(work, 'libsrtp');
  mkdirSync(source);
  execFileSync('tar', ['xzf', '-', '--strip-components=1', '-C', source], { input: archive });
  const options = {
    cwd: source,
    env: { ...process.env, CFLAGS: '-O2' },
    stdio: ['ignore', 'ignore', 'inherit'],
  };
  execFileSync('sh', ['configure', '--enable-openssl'], options);
  execFileSync('make', ['libsrtp2.a'], options);
  const target = join(CACHE, 'libsrtp');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  cpSync(join(source, 'libsrtp2.a'), join(target, 'libsrtp2.a'));
  cpSync(join(source, 'include'), join(target, 'include', 'srtp2'), { recursive: true });
  console.log('libsrtp2 over OpenSSL is there');
}

function prepareMediasoup() {
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', MEDIASOUP], { cwd: work, encoding: 'utf8' }),
  );
  const archive = join(work, packed.filename);
  check(packed.integrity, MEDIASOUP_INTEGRITY, MEDIASOUP);
  const target = join(CACHE, 'mediasoup');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  writeFileSync(join(target, 'package.json'), '{ "private": true }');
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', archive], {
    cwd: target,
    stdio: 'inherit',
  });
  console.log('mediasoup is there');
}

function check(is, expected, what) {
  if (is !== expected) throw new Error(`${what} is not what it was: ${is}`);
}
