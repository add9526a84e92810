/** What all commands say alike: how they are called, and what went wrong. */
import { messageOf, RekeycastError } from '../errors.ts';
import { errorCode } from '../util/file-system.ts';
import { printable } from '../util/printable.ts';
import type { CliIo } from './workplace.ts';

/** A call that is understood, or the exit code of one that is answered already: it asked for help, or was wrong. */
export function understood<Asked extends { readonly help: boolean }>(
  command: string,
  help: string,
  asked: Asked | string,
  io: CliIo,
): Extract<Asked, { readonly help: false }> | number {
  if (typeof asked === 'string') {
    io.stderr.write(`rekeycast ${command}: ${asked}\n\n${help}`);
    return 2;
  }
  if (!asked.help) return asked as Extract<Asked, { readonly help: false }>;
  io.stdout.write(help);
  return 0;
}

/** Says why a command has failed, and gives its exit code. Throws what is a bug of ours. */
export function failed(command: string, cause: unknown, json: boolean, io: CliIo): 1 {
  const { code, message } = inWords(cause);
  if (json) io.stdout.write(`${JSON.stringify({ error: code, message })}\n`);
  io.stderr.write(`rekeycast ${command}: ${printable(message)} [${code}]\n`);
  return 1;
}

/** What the system says of a file that cannot be read or changed is for people, too. */
function inWords(cause: unknown): Pick<RekeycastError, 'code' | 'message'> {
  if (cause instanceof RekeycastError) return cause;
  if (errorCode(cause) === undefined) throw cause;
  return {
    code: 'STATE_UNWRITABLE',
    message: `a file cannot be used: ${messageOf(cause)}. What was there still is; run the command again`,
  };
}
