import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/cli/compile.ts';
import { ran } from '../../support/command.ts';

const FILE = '/opt/rekeycast/dist/.cache/program.v8';

describe('rekeycast compile', () => {
  it('says what it has written', async () => {
    expect(await ran(async (io) => compile([], () => FILE, io))).toEqual({
      code: 0,
      out: `${FILE}\n`,
      err: '',
    });
  });

  it('says why it could not, and that nothing is lost', async () => {
    const { code, out, err } = await ran(async (io) =>
      compile(
        [],
        () => {
          throw new Error('EROFS: read-only file system');
        },
        io,
      ),
    );
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^rekeycast compile: EROFS.*work without/);
  });

  it.each([['--all'], ['now']])('does nothing where it is called wrongly (%s)', async (argument) => {
    const { code, err } = await ran(async (io) => compile([argument], () => expect.unreachable(), io));
    expect(code).toBe(2);
    expect(err).toContain('Usage:');
  });

  it('says what it is for', async () => {
    const { code, out } = await ran(async (io) => compile(['--help'], () => expect.unreachable(), io));
    expect(code).toBe(0);
    expect(out).toContain('Usage:');
  });
});
