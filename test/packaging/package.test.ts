import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, posix } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportsOf, readReport } from '../support/api-report.ts';
import { prepareServer } from '../support/fixture.ts';
import { install, offline, type Packed, pack } from '../support/package.ts';
import { ROOT } from '../support/process.ts';
import { temporaryDirectory } from '../support/snapshots.ts';
import { until } from '../support/wait.ts';

/** A fifth of it are the pictures of README.md. */
const MAX_PACKED_BYTES = 1_700_000;
const MAX_UNPACKED_BYTES = 8_000_000;
/** To what is not on the web: `[…](file#place)`, `<img src="file"`. */
const LINK = /\]\((?![a-z]+:|#)([^)#\s]+)[^)]*\)|<img src="(?![a-z]+:)([^"]+)"/g;
/** All that may be in the package. What is not bundled lies in its own node_modules. */
const EXPECTED = [
  /^package\.json$/,
  /^(README|SECURITY|ARCHITECTURE|CHANGELOG|CONTRIBUTING)\.md$/,
  /^LICENSE$/,
  /^docs\/(decisions\/)?[a-z0-9-]+\.md$/,
  /^bench\/RESULTS(-[a-z-]+)?\.md$/,
  /^docs\/(grafana|prometheus)\/[a-z.]+$/,
  /^docs\/screens\/[a-z-]+\.(png|webp)$/,
  /^examples\/[a-z]+\/[a-z]+\.(mjs|html|json)$/,
  /^deploy\/(systemd|kubernetes(-key-command|-workers)?)\/[a-z.-]+$/,
  /^api\/[a-z]+\.d\.ts$/,
  /^dist\/[\w./-]+\.js$/,
  /^dist\/program\.cjs$/,
  /^dist\/srtp-kernel\.wasm$/,
  /^dist\/THIRD-PARTY-LICENSES\.txt$/,
  /^public\/([a-z]+\.(html|css|js)|icon\.svg)$/,
  /^node_modules\/(@peculiar\/|[a-z0-9-]+\/)/,
];

let scratch: ReturnType<typeof temporaryDirectory>;
let packed: Packed;
let folder: string;

beforeAll(() => {
  scratch = temporaryDirectory();
  packed = pack(scratch.path);
  folder = join(scratch.path, 'empty');
  install(packed.tarball, folder, join(scratch.path, 'cache'));
}, 300_000);
afterAll(() => scratch.dispose());

describe('the package', { timeout: 300_000 }, () => {
  it('holds the program, the page and what an operator reads, and nothing else', () => {
    expect(packed.files.filter((path) => !EXPECTED.some((pattern) => pattern.test(path)))).toEqual([]);
    for (const path of [
      'dist/rekeycast.js',
      'dist/program.cjs',
      'dist/srtp-kernel.wasm',
      'public/index.html',
      'public/client.js',
      'SECURITY.md',
      'LICENSE',
    ])
      expect(packed.files).toContain(path);
    expect(packed.files).toContain('deploy/systemd/rekeycast.service');
  });

  it('holds what its documents lead to', () => {
    const own = packed.files.filter((path) => !path.startsWith('node_modules/'));
    const isThere = (path: string) => own.some((one) => one === path || one.startsWith(`${path}/`));
    const links = own
      .filter((path) => path.endsWith('.md'))
      .flatMap((path) =>
        [...readFileSync(join(ROOT, path), 'utf8').matchAll(LINK)].map(([, page, picture]) => ({
          path,
          to: posix.join(posix.dirname(path), (page ?? picture)!),
        })),
      );
    expect(links.length).toBeGreaterThan(20);
    // What only somebody with the sources needs stays with them.
    const elsewhere = ({ path, to }: (typeof links)[number]) =>
      path === 'CONTRIBUTING.md' && to.startsWith('test/');
    expect(links.filter((link) => !elsewhere(link) && !isThere(link.to))).toEqual([]);
    const pictures = own.filter((path) => path.startsWith('docs/screens/'));
    expect(pictures).not.toEqual([]);
    expect(pictures.filter((path) => !links.some(({ to }) => to === path))).toEqual([]);
  });

  it('brings no source map, and no path of the machine it was made on', () => {
    const own = join(folder, 'node_modules', 'rekeycast');
    const paths = [ROOT, homedir()].filter((path) => path.length > 1);
    let searched = 0;
    for (const file of packed.files.filter((path) => !path.startsWith('node_modules/'))) {
      const text = readFileSync(join(own, file), 'latin1');
      for (const path of paths) expect(`${file}: ${text.includes(path)}`).toBe(`${file}: false`);
      expect(file).not.toMatch(/\.map$/);
      searched += text.length;
    }
    expect(searched).toBeGreaterThan(500_000);
  });

  it('is small', () => {
    expect(packed.size).toBeLessThan(MAX_PACKED_BYTES);
    expect(packed.unpackedSize).toBeLessThan(MAX_UNPACKED_BYTES);
  });

  it('needs nothing else: it was installed from an empty cache, with no registry', () => {
    expect(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual([
      'rekeycast',
    ]);
  });

  it('has the license of everything that is bundled', () => {
    const licenses = readFileSync(
      join(folder, 'node_modules/rekeycast/dist/THIRD-PARTY-LICENSES.txt'),
      'utf8',
    );
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    for (const name of ['hono', 'pino', 'ws', 'zod', 'libsodium-wrappers', 'sdp-transform'])
      expect(licenses).toContain(`\n${name} ${devDependencies[name]} (`);
    expect(licenses).toContain('Permission is hereby granted');
  });

  it.each([
    { name: 'rekeycast', report: 'api/rekeycast.d.ts' },
    { name: 'rekeycast/client', report: 'api/client.d.ts' },
  ])('is $name, as its declarations say', ({ name, report }) => {
    const script = `import('${name}').then((all) => console.log(JSON.stringify(Object.keys(all))))`;
    const shown = execFileSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8' });
    const declared = exportsOf(readReport(report)).filter(({ isValue }) => isValue);
    expect((JSON.parse(shown) as string[]).sort()).toEqual(declared.map(({ name }) => name));
  });

  it('gives a command that works from an empty folder, and again after kill -9', async () => {
    const server = await prepareServer({
      command: ['npx', '--offline', 'rekeycast'],
      cwd: folder,
      env: { ...offline(join(scratch.path, 'cache')), STATE_DIR: '', KEYS_DIR: '' },
    });
    await server.start();
    const page = await fetch(server.url);
    expect(page.status).toBe(200);
    expect(await page.text()).toContain('<script');
    expect((await fetch(`${server.url}client.js`)).status).toBe(200);

    const pid = () => server.logs.at(-1)?.fields.pid as number;
    await until('the identity is on disk', () => existsSync(join(folder, 'state', 'identity.sealed')));
    process.kill(pid(), 'SIGKILL');
    await server.exited();
    await until('the port is free', async () => !(await server.isReady()));
    await server.start();
    expect(server.events('started').map(({ fields }) => fields.msg)).toEqual(['first run', 'resumed']);
    for (const [name, file] of [
      ['state', /^identity\.sealed$/],
      ['keys', /^[0-9a-f]{16}\.secret$/],
    ] as const) {
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o700);
      expect(readdirSync(join(folder, name)).some((one) => file.test(one))).toBe(true);
    }
    process.kill(pid(), 'SIGTERM');
    expect((await server.exited()).code).toBe(0);
  });
});
