import { appendFileSync, existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AUDIT_EVENTS, type AuditEvent, DeferredAudit, openAudit } from '../../../src/observability/audit.ts';
import { ProcessFiles } from '../../support/faulty-file-system.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();
const path = (): string => join(root.path, 'audit.log');
const read = (from = path()): unknown[] => readFileSync(from, 'utf8').trimEnd().split('\n').map(parse);
const added = (key: string): AuditEvent => ({ event: 'key-added', by: 'keys', key });

describe('the audit log of a command', () => {
  it('has a line for each event, from one process to the next, and is closed to others', () => {
    for (const key of ['a', 'b']) openAudit({ path: path(), failed: expect.fail, now: () => 0 })(added(key));
    expect(read()).toEqual(
      ['a', 'b'].map((key) => ({ time: '1970-01-01T00:00:00.000Z', pid: process.pid, ...added(key) })),
    );
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it('cannot have a second line slipped into one', () => {
    openAudit({ path: path(), failed: expect.fail })(added('a"}\n{"event":"forged"'));
    expect(readFileSync(path(), 'utf8').trimEnd().split('\n')).toHaveLength(1);
  });

  it('says so where it cannot be written, and does not throw', () => {
    const said: string[] = [];
    const audit = openAudit({
      path: join(root.path, 'none', 'audit.log'),
      failed: (message) => said.push(message),
    });
    audit(added('a'));
    expect(said).toEqual([expect.stringContaining('cannot be written')]);
  });
});

describe('the audit log of a server', () => {
  it('has all events in their order and with their times, when it is flushed', async () => {
    let now = 0;
    const audit = new DeferredAudit({ path: path(), failed: expect.fail, now: () => now });
    for (const key of ['a', 'b', 'c']) {
      now += 1_000;
      audit.record(added(key));
    }
    expect(existsSync(path())).toBe(false);
    await audit.flush();
    expect(read()).toMatchObject([
      { key: 'a', time: '1970-01-01T00:00:01.000Z' },
      { key: 'b', time: '1970-01-01T00:00:02.000Z' },
      { key: 'c', time: '1970-01-01T00:00:03.000Z' },
    ]);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it('goes on in a new file when the old one was moved, and both are whole', async () => {
    const audit = new DeferredAudit({ path: path(), failed: expect.fail });
    audit.record(added('a'));
    await audit.flush();
    renameSync(path(), `${path()}.1`);
    audit.record(added('b'));
    await audit.flush();
    expect(read(`${path()}.1`)).toMatchObject([{ key: 'a' }]);
    expect(read()).toMatchObject([{ key: 'b' }]);
  });

  it('begins on a line of its own where a killed process has left a part of one', async () => {
    const audit = new DeferredAudit({ path: path(), failed: expect.fail });
    audit.record(added('a'));
    await audit.flush();
    appendFileSync(path(), '{"time":"2026');
    audit.record(added('b'));
    await audit.flush();
    appendFileSync(path(), '{"time":"2026');
    openAudit({ path: path(), failed: expect.fail })(added('c'));
    const lines = readFileSync(path(), 'utf8').trimEnd().split('\n');
    expect(lines.filter((line) => line.endsWith('}')).map(parse)).toMatchObject([
      { key: 'a' },
      { key: 'b' },
      { key: 'c' },
    ]);
    expect(lines).toHaveLength(5);
  });

  it('keeps what it cannot write on a full disk, says so once, and writes it when there is room', async () => {
    const files = new ProcessFiles();
    const said: string[] = [];
    const audit = new DeferredAudit({
      path: path(),
      failed: (message) => said.push(message),
      fs: files.fs,
    });
    files.fill(root.path);
    for (const key of ['a', 'b']) {
      audit.record(added(key));
      await audit.flush();
    }
    expect(said).toEqual([expect.stringContaining('no space left on device')]);
    files.fill(undefined);
    audit.record(added('c'));
    await audit.flush();
    expect(read()).toMatchObject([{ key: 'a' }, { key: 'b' }, { key: 'c' }]);
  });

  it('says how many lines it could not keep', async () => {
    const files = new ProcessFiles();
    const audit = new DeferredAudit({ path: path(), failed: () => {}, fs: files.fs });
    files.fill(root.path);
    for (let i = 0; i < 6_000; i++) audit.record(added(String(i)));
    await audit.flush();
    for (let i = 6_000; i < 12_000; i++) audit.record(added(String(i)));
    await audit.flush();
    files.fill(undefined);
    await audit.flush();
    const lines = read();
    expect(lines).toHaveLength(10_001);
    expect(lines[0]).toMatchObject({ event: 'audit-lost', by: 'server', count: 2_000 });
    expect(lines.at(-1)).toMatchObject({ key: '11999' });
  });
});

describe('docs/audit-log.md', () => {
  it('lists each event once, in this order', () => {
    const page = readFileSync(new URL('../../../docs/audit-log.md', import.meta.url), 'utf8');
    const rows = page.split('\n').flatMap((line) => /^\| `([a-z-]+)` \|/.exec(line)?.[1] ?? []);
    expect(rows).toEqual([...AUDIT_EVENTS]);
  });
});

const parse = (line: string): unknown => JSON.parse(line);
