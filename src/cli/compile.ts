import { parseArgs } from 'node:util';
import { messageOf } from '../errors.ts';
import { understood } from './call.ts';
import type { CliIo } from './workplace.ts';

const HELP = `rekeycast compile - make each start shorter where the server may not write beside its program

Usage:

  rekeycast compile

Keeps the program compiled in a folder .cache beside it, where every server of the same Node finds it. A server does so by itself three seconds
after its start where it may: run this once after an installation whose files belong to somebody else, as root or as their owner.

Exit codes: 0 done, 1 it cannot be written, 2 called wrongly.
`;

/** `rekeycast compile`. Gives the exit code. */
export function compile(argv: readonly string[], run: () => string, io: CliIo): number {
  const asked = understood('compile', HELP, parse(argv), io);
  if (typeof asked === 'number') return asked;
  try {
    io.stdout.write(`${run()}\n`);
    return 0;
  } catch (cause) {
    io.stderr.write(
      `rekeycast compile: ${messageOf(cause)}. Servers work without, and take longer to start\n`,
    );
    return 1;
  }
}

function parse(argv: readonly string[]): { readonly help: boolean } | string {
  try {
    const { values } = parseArgs({ args: [...argv], options: { help: { type: 'boolean', short: 'h' } } });
    return { help: values.help === true };
  } catch (cause) {
    return messageOf(cause);
  }
}
