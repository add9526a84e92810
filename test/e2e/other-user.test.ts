import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import { install, pack } from '../support/package.ts';
import { LOOPBACK } from '../support/ports.ts';
import { testDirectory } from '../support/test-directory.ts';
import { resumes, visit } from '../support/visitor.ts';

const NOBODY = 65_534;
let program: string;
let place: string;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'rekeycast-others-'));
  install(pack(place).tarball, join(place, 'installed'), join(place, 'cache'));
  // Whoever it is has to be able to read it.
  chmodSync(place, 0o755);
  program = join(place, 'installed/node_modules/rekeycast/dist/rekeycast.js');
}, 120_000);
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** Runs the command as a user without rights, until it ends or `enough` is in what it says. */
async function asNobody(args: readonly string[], env: Readonly<Record<string, string>>, enough = /$^/) {
  const child = spawn(process.execPath, [program, ...args], { cwd: '/', env, uid: NOBODY, gid: NOBODY });
  let said = '';
  const note = (text: Buffer): void => {
    said += text;
    if (enough.test(said)) child.kill();
  };
  child.stdout.on('data', note);
  child.stderr.on('data', note);
  const [code] = (await once(child, 'close')) as [number | null];
  expect(said).not.toMatch(/^\s+at /m);
  return { code, said };
}

describe.runIf(process.getuid?.() === 0)('another user', { timeout: 60_000 }, () => {
  it.each(['serve --takeover', 'status', 'health', 'drain', 'rekey', 'keys rotate', 'snapshot inspect'])(
    'is told that the server is not theirs: %s',
    async (words) => {
      const server = await prepareServer();
      await server.start();
      const page = await visit(server);
      const { code, said } = await asNobody(words.split(' '), server.env);
      expect(code).toBe(1);
      expect(said).toMatch(/another user|permission denied|EACCES/);
      expect(server.running && (await server.isReady())).toBe(true);
      expect(await resumes(server, page)).toBe(true);
    },
  );
});

describe.runIf(process.getuid?.() === 0)('directories that cannot be written', { timeout: 60_000 }, () => {
  const root = testDirectory();
  let env: Record<string, string>;

  beforeEach(() => {
    chmodSync(root.path, 0o755);
    env = { PATH: process.env.PATH ?? '', HOST: LOOPBACK, PORT: '0' };
    for (const name of ['STATE_DIR', 'KEYS_DIR', 'RUNTIME_DIR']) {
      env[name] = join(root.path, name);
      mkdirSync(env[name], { mode: 0o700 });
      chownSync(env[name], NOBODY, NOBODY);
    }
  });

  it.each(['STATE_DIR', 'KEYS_DIR'])('end the start in words that name it: %s', async (name) => {
    chmodSync(env[name]!, 0o500);
    const { code, said } = await asNobody(['serve'], env);
    expect(code).toBe(1);
    expect(said).toContain(env[name]);
    expect(said).toMatch(/EACCES: permission denied/);
  });

  it('keep a server from writing contexts, and not from serving: RUNTIME_DIR', async () => {
    chmodSync(env.RUNTIME_DIR!, 0o500);
    const { said } = await asNobody(['serve'], env, /Open http/);
    expect(said).toContain('runtime-dir-unsuitable');
    expect(said).toMatch(/Open http/);
  });

  it('are fine where they can be', async () => {
    expect((await asNobody(['serve'], env, /Open http/)).said).toMatch(/Open http/);
  });
});
