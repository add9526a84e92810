import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { apiTool, exportsOf, readReport } from '../support/api-report.ts';
import { ROOT } from '../support/process.ts';
import { testDirectory } from '../support/test-directory.ts';

const { ENTRIES, writeReport } = await apiTool();
const directory = testDirectory();

function write(path: string, text: string): string {
  const whole = join(directory.path, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, text);
  return whole;
}

describe.each(ENTRIES)('$report', ({ report }) => {
  it('says of each export what it is', () => {
    const declared = exportsOf(readReport(report));
    expect(declared.length).toBeGreaterThan(3);
    expect(declared.filter(({ documented }) => !documented).map(({ name }) => name)).toEqual([]);
  });
});

describe('the API report', () => {
  const project = (files: Readonly<Record<string, string>>) => {
    for (const [path, text] of Object.entries(files)) write(`src/${path}`, text);
    const options = {
      module: 'nodenext',
      allowImportingTsExtensions: true,
      noEmit: true,
      strict: true,
      types: [],
    };
    const tsconfig = write('tsconfig.json', JSON.stringify({ compilerOptions: options, include: ['src'] }));
    return { source: 'index.ts', project: tsconfig, root: join(directory.path, 'src') };
  };

  it('holds what is exported and what that needs, and nothing else', () => {
    const report = writeReport(
      project({
        'index.ts': "export { made, type Shown } from './parts.ts';",
        'parts.ts': [
          '/** Seen. */',
          'export interface Shown {',
          '  readonly needed: Needed;',
          '  /** @internal */',
          '  readonly hidden: Unneeded;',
          '}',
          'export interface Needed { readonly of: string }',
          'export interface Unneeded { readonly of: string }',
          'export const made = (): Shown | undefined => undefined;',
        ].join('\n'),
      }),
    );
    expect(exportsOf(report).map(({ name, documented }) => [name, documented])).toEqual([
      ['Shown', true],
      ['made', false],
    ]);
    expect(report).toContain('interface Needed');
    expect(report).not.toContain('Unneeded');
  });

  it('refuses what the package does not bring', () => {
    const parts = (specifier: string) => ({
      'index.ts': "export type { Log } from './parts.ts';",
      'parts.ts': `import type { EventEmitter } from '${specifier}';\nexport interface Log { readonly of: EventEmitter }`,
    });
    expect(() => writeReport(project(parts('some-library')))).toThrow(
      /some-library, which the package does not bring/,
    );
    expect(writeReport(project(parts('node:events')))).toContain(
      "import type { EventEmitter } from 'node:events';",
    );
  });

  it('refuses two declarations of one name', () => {
    const files = {
      'index.ts': "export type { A } from './a.ts';\nexport type { B } from './b.ts';",
      'a.ts': 'interface Part { readonly of: 1 }\nexport interface A { readonly part: Part }',
      'b.ts': 'interface Part { readonly of: 2 }\nexport interface B { readonly part: Part }',
    };
    expect(() => writeReport(project(files))).toThrow(/Part is declared twice/);
  });
});

/** Somebody else's project, with nothing of this checkout but what the package ships, and Node's types. */
describe.each([
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'esnext', moduleResolution: 'bundler' },
])('a consumer under moduleResolution $moduleResolution', (resolution) => {
  const compile = (source: string) => {
    const modules = join(directory.path, 'node_modules');
    mkdirSync(join(modules, 'rekeycast'), { recursive: true });
    for (const part of ['package.json', 'api'])
      cpSync(join(ROOT, part), join(modules, 'rekeycast', part), { recursive: true });
    for (const part of ['@types', 'undici-types'])
      symlinkSync(join(ROOT, 'node_modules', part), join(modules, part));
    write('package.json', '{ "type": "module" }');
    write('consumer.ts', source);
    const options = {
      ...resolution,
      target: 'es2023',
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      types: ['node'],
    };
    const tsconfig = write(
      'tsconfig.json',
      JSON.stringify({ compilerOptions: options, files: ['consumer.ts'] }),
    );
    return spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', tsconfig], {
      encoding: 'utf8',
    });
  };

  it('compiles with library checks', () => {
    const { stdout, status } = compile(CONSUMER);
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it('is told of a mistake', () => {
    const { stdout } = compile(CONSUMER.replaceAll('// @ts-expect-error', '//'));
    expect(stdout.match(/error TS\d+/g)).toHaveLength(CONSUMER.split('@ts-expect-error').length - 1);
  });
});

const CONSUMER = `
import { createLog, openSnapshots, Peer, readConfig, RekeycastError, Secret, startServer } from 'rekeycast';
import type { Broadcast, ErrorCode, KeySource, Logger, PeerOutput, SnapshotStore } from 'rekeycast';

import { connect, type Problem } from 'rekeycast/client';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export async function run(store: SnapshotStore, keySource: KeySource): Promise<number> {
  const server = await startServer({ ...readConfig({ STATE_DIR: 'state' }), port: 0 }, quiet, { store, keySource });
  await server.shutdown();
  const { identity } = await openSnapshots(readConfig({}), createLog('info'));
  return (identity?.sessions.length ?? 0) + server.port;
}

export function next(peer: Peer, engine: Broadcast, now: number): PeerOutput['kind'] | undefined {
  peer.handleTimeout(now);
  engine.handleTimeout(now);
  // @ts-expect-error an address has a port
  peer.handleDatagram(new Uint8Array(1), { ip: '127.0.0.1' }, now);
  return peer.pollOutput()?.kind;
}

export function codeOf(error: unknown): ErrorCode | undefined {
  if (!(error instanceof RekeycastError)) return undefined;
  // @ts-expect-error no such code
  if (error.code === 'NO_SUCH_CODE') return undefined;
  return error.code;
}

export const visit = connect({ url: 'https://live.example.org', role: 'viewer', onChange: ({ problem }) => tell(problem) });

function tell(problem: Problem | undefined): void {
  // @ts-expect-error no such problem
  if (problem === 'no-such-problem') visit.close();
}

export const secret: Secret = Secret.take(new Uint8Array(32));
// @ts-expect-error it is made by take, copy, alloc or random
export const none = new Secret(32);
`;
