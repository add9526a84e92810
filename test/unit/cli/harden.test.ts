import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { harden } from '../../../src/cli/harden.ts';
import { testDirectory } from '../../support/test-directory.ts';

/** What it does to a real process is in test/packaging/hardening.test.ts. */
describe('harden', () => {
  const directory = testDirectory();
  let before: number;

  beforeEach(() => {
    before = process.umask();
  });
  afterEach(() => {
    process.umask(before);
    process.removeAllListeners('SIGUSR1');
  });

  it('keeps memory out of core dumps', () => {
    const filter = join(directory.path, 'coredump_filter');
    writeFileSync(filter, '00000033\n');
    expect(harden(directory.path)).toEqual([]);
    expect(readFileSync(filter, 'utf8')).toBe('0');
  });

  it('says what to do where the system does not let it', () => {
    expect(harden(join(directory.path, 'nothing'))).toEqual([expect.stringMatching(/LimitCORE=0/)]);
    mkdirSync(join(directory.path, 'coredump_filter'));
    expect(harden(directory.path)).toHaveLength(1);
  });

  it('makes files for their owner alone', () => {
    harden(directory.path);
    expect(process.umask()).toBe(0o077);
  });
});
