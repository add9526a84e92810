import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { askServer } from '../../src/cli/admin-client.ts';
import { runCertificate } from '../../src/cli/certificate.ts';
import { runKeys } from '../../src/cli/keys.ts';
import type { AuditEvent } from '../../src/observability/audit.ts';
import { inRam, ran, settingsOf } from '../support/command.ts';
import { prepareServer } from '../support/fixture.ts';
import type { ServerProcess } from '../support/process.ts';
import { until } from '../support/wait.ts';

let server: ServerProcess;

beforeEach(async () => {
  server = await prepareServer();
});

/** A run of the server that ends cleanly. */
async function runOnce(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  await server.start();
  await meanwhile();
  await server.kill('SIGTERM');
}

const path = (): string => join(server.directories.state, 'audit.log');
const audited = (file = path()): (AuditEvent & { readonly pid: number })[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditEvent & { readonly pid: number });
const names = (file?: string): string[] =>
  audited(file)
    .map(({ event }) => event)
    .filter((event) => event !== 'key-opened');

async function ask(command: 'rekey' | 'reseal' | 'certificate'): Promise<void> {
  expect(await askServer(server.adminSocket, { command })).toMatchObject({
    kind: 'answer',
    response: { ok: true },
  });
}

async function command(run: typeof runKeys, ...argv: string[]): Promise<string> {
  const { state: stateDir, keys: keysDir, runtime: runtimeDir } = server.directories;
  const env = settingsOf({ stateDir, keysDir, runtimeDir });
  const { code, out, err } = await ran((io) => run(argv, env, io, inRam()));
  expect([code, err]).toEqual([0, '']);
  return out;
}

it('a server audits its start, its keys, its certificate, the operator’s orders and its end', async () => {
  await runOnce(async () => {
    for (const order of ['rekey', 'reseal', 'certificate'] as const) await ask(order);
  });
  expect(names()).toEqual([
    'key-added',
    'key-promoted',
    'certificate-created',
    'server-started',
    'rekey-ordered',
    'resealed',
    'certificate-replaced',
    'server-stopped',
  ]);
  const lines = audited();
  const of = (event: string) => lines.find((line) => line.event === event)!;
  expect(of('server-started')).toMatchObject({ by: 'server', first: true, sessions: 0 });
  expect(of('certificate-replaced').before).toBe(of('certificate-created').sha256);
  expect(of('resealed').key).toBe(of('key-added').key);
  expect(lines.every(({ pid, by, time }) => pid === server.run.pid && by === 'server' && time !== '')).toBe(
    true,
  );
});

it('a server goes on in a new file when the old one was moved away', async () => {
  await runOnce();
  renameSync(path(), `${path()}.1`);
  await runOnce();
  expect(names(`${path()}.1`)).toContain('certificate-created');
  expect(names()).toEqual(['server-started', 'server-stopped']);
});

it('a server that refuses a file audits that before it goes on', async () => {
  await runOnce();
  const sealed = join(server.directories.state, 'identity.sealed');
  const older = readFileSync(sealed);
  await runOnce();
  await runOnce();
  writeFileSync(sealed, older);
  await runOnce();
  expect(audited().filter(({ event }) => event === 'snapshot-refused')).toMatchObject([
    { by: 'server', message: expect.stringContaining('older than what was written last') },
  ]);
});

it('commands audit what they do, under their names', async () => {
  await runOnce();
  renameSync(path(), `${path()}.1`);
  const { added } = JSON.parse(await command(runKeys, 'add', '--json')) as { added: string };
  // Until it is certain that nobody runs, what needs that is refused.
  await until('nobody runs', () => command(runKeys, 'status'));
  for (const change of ['disable', 'enable', 'destroy']) await command(runKeys, change, added);
  await command(runKeys, 'rotate');
  await command(runCertificate, 'rotate');
  expect(names()).toEqual([
    'key-added',
    'key-disabled',
    'key-enabled',
    'key-destroyed',
    'key-added',
    'key-promoted',
    'resealed',
    'key-destroyed',
    'certificate-replaced',
  ]);
  for (const { event, by } of audited().filter((line) => line.event !== 'key-opened'))
    expect(by).toBe(event === 'certificate-replaced' ? 'certificate' : 'keys');
});
