import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openAudit } from '../../../src/observability/audit.ts';
import { testDirectory } from '../../support/test-directory.ts';

const root = testDirectory();

describe('the audit log', () => {
  it('has a line for each event, from one process to the next, and is closed to others', () => {
    const path = join(root.path, 'audit.log');
    for (const key of ['a', 'b'])
      openAudit({ path, failed: expect.fail, now: () => 0 })({ event: 'key-added', key });
    expect(readFileSync(path, 'utf8').trimEnd().split('\n').map(parse)).toEqual([
      { time: '1970-01-01T00:00:00.000Z', pid: process.pid, event: 'key-added', key: 'a' },
      { time: '1970-01-01T00:00:00.000Z', pid: process.pid, event: 'key-added', key: 'b' },
    ]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('cannot have a second line slipped into one', () => {
    const path = join(root.path, 'audit.log');
    openAudit({ path, failed: expect.fail })({ event: 'key-added', key: 'a"}\n{"event":"forged"' });
    expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(1);
  });

  it('says so where it cannot be written, and does not throw', () => {
    const said: string[] = [];
    const audit = openAudit({
      path: join(root.path, 'none', 'audit.log'),
      failed: (message) => said.push(message),
    });
    audit({ event: 'key-added' });
    expect(said).toEqual([expect.stringContaining('cannot be written')]);
  });
});

const parse = (line: string): unknown => JSON.parse(line);
