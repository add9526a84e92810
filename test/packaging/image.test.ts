import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import { pack } from '../support/package.ts';
import { ROOT } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';
import { until } from '../support/wait.ts';

interface Instruction {
  readonly keyword: string;
  readonly rest: string;
}

const DOCKERFILE = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
const IGNORED = readFileSync(join(ROOT, '.dockerignore'), 'utf8');
const [build, final] = stages(DOCKERFILE) as [readonly Instruction[], readonly Instruction[]];
const FOREIGN_USER = 1000;

/** There is no engine to build with here: what each step does is done in a scratch folder that stands for the image's root. */
describe('the image', { timeout: 300_000 }, () => {
  const scratch = testDirectory();

  it('is described in words that Docker understands', () => {
    expect(validate(DOCKERFILE)).toEqual([]);
    expect(validate(DOCKERFILE.replace('HEALTHCHECK --interval', 'HEALTHCHECK --every'))).not.toEqual([]);
    expect(validate(DOCKERFILE.replace('STOPSIGNAL SIGTERM', 'STOPSIGNAL TERMINATE'))).not.toEqual([]);
  });

  it('runs one program, as nobody in particular, with no shell in between', () => {
    const last = (keyword: string) => final.findLast((one) => one.keyword === keyword)?.rest;
    expect(last('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(JSON.parse(last('ENTRYPOINT')!)).toEqual(['rekeycast']);
    expect(JSON.parse(last('CMD')!)).toEqual(['serve']);
    expect(last('STOPSIGNAL')).toBe('SIGTERM');
    expect(last('HEALTHCHECK')).not.toMatch(/curl|wget/);
    const images = DOCKERFILE.match(/^FROM .*/gm)!;
    for (const image of images) expect(image).toMatch(/^FROM node:\d+-[a-z]+-slim( AS build)?$/);
    // The second stage takes from the first what was packed, and nothing from the checkout.
    expect(final.filter(({ keyword }) => keyword === 'COPY')).toEqual([
      { keyword: 'COPY', rest: '--from=build /opt/rekeycast /opt/rekeycast' },
    ]);
  });

  it.each([
    'keys/0123456789abcdef.secret',
    'state/identity.sealed',
    '.git/HEAD',
    'node_modules/x',
    '.env',
    'dist/x.js',
  ])('is built without %s of the checkout', (path) => {
    expect(isInContext(path)).toBe(false);
  });

  it('is built from all that the package holds', () => {
    const { files } = pack(scratch.path);
    const sources = files.filter(
      (path) => !/^(node_modules|dist)\//.test(path) && path !== 'public/client.js',
    );
    const copied = build
      .filter(({ keyword }) => keyword === 'COPY')
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1));
    const missing = sources.filter(
      (path) => !isInContext(path) || !copied.some((one) => path === one || path.startsWith(`${one}/`)),
    );
    expect(missing).toEqual([]);
    expect(sources.length).toBeGreaterThan(30);
  });

  it('starts from what its last stage holds, on directories of its own, and is found alive', async () => {
    const [earlier, root] = [join(scratch.path, 'build'), join(scratch.path, 'image')];
    chmodSync(scratch.path, 0o755);
    for (const folder of ['build', 'tmp', 'opt']) mkdirSync(join(earlier, folder), { recursive: true });
    for (const folder of ['opt', 'usr/local/bin', 'var/lib', 'run'])
      mkdirSync(join(root, folder), { recursive: true });
    for (const instruction of build) perform(instruction, join(earlier, 'build'), earlier);
    for (const instruction of final) perform(instruction, root, root, earlier);

    const program = join(root, 'opt/rekeycast');
    expect(existsSync(join(program, 'src'))).toBe(false);
    expect(existsSync(join(program, 'test'))).toBe(false);
    // The server may not write there: what V8 has compiled comes with the image, for whoever it runs as.
    const [compiled] = readdirSync(join(program, 'dist/.cache'));
    expect(compiled).toContain(process.version);
    expect(statSync(join(program, 'dist/.cache', compiled!)).mode & 0o777).toBe(0o644);
    const env = Object.fromEntries(
      ['STATE_DIR', 'KEYS_DIR', 'RUNTIME_DIR'].map((name) => {
        const path = new RegExp(`\\b${name}=(\\S+)`).exec(
          final.find(({ keyword }) => keyword === 'ENV')!.rest,
        )![1]!;
        return [name, join(root, path)];
      }),
    );
    const server = await prepareServer({
      user: FOREIGN_USER,
      cwd: '/',
      command: ['rekeycast'],
      env: within(root, env),
    });
    await server.start();
    expect((await fetch(server.url)).status).toBe(200);
    expect(statSync(`/proc/${server.run.pid}`).uid).toBe(
      process.getuid?.() === 0 ? FOREIGN_USER : process.getuid?.(),
    );
    expect(server.events('started')).toHaveLength(1);
    await until('it has found its way out', () => server.events('send-path').length === 1);
    if (existsSync(join(ROOT, 'node_modules', 'koffi')))
      expect(server.events('send-path')[0]!.fields.why ?? '').not.toMatch(/koffi/);
    expect(health(server.env)).toBe('alive\n');
    await server.kill('SIGTERM');
    expect(() => health(server.env)).toThrow(/no server listens/);
  });

  /** The health check of the image. */
  const health = (env: Readonly<Record<string, string>>): string => {
    const [, command] = /CMD (\[.*\])$/.exec(final.find(({ keyword }) => keyword === 'HEALTHCHECK')!.rest)!;
    const [program, ...args] = JSON.parse(command!) as [string, ...string[]];
    return execFileSync(program, args, { env, encoding: 'utf8', stdio: 'pipe' });
  };
});

const within = (root: string, env: Readonly<Record<string, string>>) => ({
  ...env,
  PATH: `${join(root, 'usr/local/bin')}:${process.env.PATH}`,
});

/** COPY and RUN, with `root` for the root of the image and `earlier` for that of the stage before; what else a stage says changes no file. */
function perform({ keyword, rest }: Instruction, workdir: string, root: string, earlier = root): void {
  if (keyword === 'COPY') {
    const [from, ...paths] = rest.split(/\s+/);
    if (from === '--from=build') {
      cpSync(join(earlier, paths[0]!), join(root, paths[1]!), { recursive: true });
      return;
    }
    const target = paths.at(-1)!;
    for (const path of [from!, ...paths.slice(0, -1)]) {
      expect(isInContext(path)).toBe(true);
      const to = target === './' ? join(workdir, path) : join(workdir, target);
      cpSync(join(ROOT, path), to, {
        recursive: true,
        filter: (one) => one === join(ROOT, path) || isInContext(relative(ROOT, one)),
      });
    }
  } else if (keyword === 'RUN' && rest.startsWith('npm ci')) {
    install(workdir);
  } else if (keyword === 'RUN') {
    const command = rest
      .replaceAll(/(?<=[\s=])\/(?=(opt|tmp|var|run|usr)\/?)/g, `${root}/`)
      .replaceAll(
        'node:node',
        process.getuid?.() === 0 ? `${FOREIGN_USER}:${FOREIGN_USER}` : String(process.getuid?.()),
      );
    execFileSync('sh', ['-euc', command], {
      cwd: workdir,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: within(root, { HOME: join(root, 'tmp') }),
    });
  }
}

/** What `npm ci` would install is here. What the package holds has to lie there itself, as npm packs nothing that is behind a link. */
function install(workdir: string): void {
  const lockfile: { packages: Readonly<Record<string, { dev?: boolean }>> } = JSON.parse(
    readFileSync(join(ROOT, 'package-lock.json'), 'utf8'),
  );
  for (const [path, { dev }] of Object.entries(lockfile.packages)) {
    const [from, to] = [join(ROOT, path), join(workdir, path)];
    if (path.lastIndexOf('node_modules/') !== 0 || !existsSync(from)) continue;
    mkdirSync(dirname(to), { recursive: true });
    if (dev === true) symlinkSync(from, to);
    else cpSync(from, to, { recursive: true });
  }
}

/** The stages of a Dockerfile that has nothing special about it: comments, and instructions that go on behind a backslash. */
function stages(dockerfile: string): readonly (readonly Instruction[])[] {
  const lines = dockerfile
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n');
  const found: Instruction[][] = [];
  for (const line of lines.filter((one) => one.trim() !== '')) {
    const [, keyword, rest] = /^([A-Z]+)\s+(.*)$/.exec(line)!;
    if (keyword === 'FROM') found.push([]);
    else found.at(-1)!.push({ keyword: keyword!, rest: rest!.replaceAll(/\s+/g, ' ') });
  }
  return found;
}

/** Whether .dockerignore lets a path through: the last pattern that fits it or a folder above it decides. */
function isInContext(path: string): boolean {
  let included = true;
  for (const line of IGNORED.split('\n').filter((one) => one !== '' && !one.startsWith('#'))) {
    const pattern = line.replace(/^!/, '');
    const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`);
    const above = path.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/'));
    if (above.some((one) => expression.test(one))) included = line.startsWith('!');
  }
  return included;
}
