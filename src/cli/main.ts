#!/usr/bin/env node
/** The `rekeycast` command. Exit codes: 0 done, 1 failed, 2 called wrongly. */
import module from 'node:module';
import { fileURLToPath } from 'node:url';
import { RekeycastError } from '../errors.ts';

const HELP = `rekeycast - a WebRTC broadcast server that survives kill -9 on fresh keys

Usage:

  rekeycast serve          run the server in the foreground
  rekeycast rekey          replace the keys of every live session, unnoticed
  rekeycast keys status    show the snapshot keys
  rekeycast keys rotate    replace the snapshot key

Settings are environment variables: HOST, PORT, UDP_PORT, STATE_DIR, KEYS_DIR, RUNTIME_DIR and others; see README.md.
`;

type CompileCache = { readonly enableCompileCache?: (directory: string) => unknown };

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'serve': {
      // Where Node can (22.8 and later), compiled code is kept beside the program: a restart is shorter by what compiling takes. Not in
      // Node's default place, a directory of /tmp that another user could have laid.
      (module as CompileCache).enableCompileCache?.(fileURLToPath(new URL('.cache', import.meta.url)));
      const { serve } = await import('./serve.ts');
      return serve(rest);
    }
    case 'keys': {
      const { runKeys } = await import('./keys.ts');
      return runKeys(rest, process.env, process);
    }
    case 'rekey': {
      const { rekey } = await import('./rekey.ts');
      return rekey(rest, process.env, process);
    }
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(HELP);
      return 0;
    default:
      process.stderr.write(
        command === undefined ? HELP : `rekeycast: there is no command "${command}"\n\n${HELP}`,
      );
      return 2;
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const text =
      error instanceof RekeycastError
        ? `${error.message} [${error.code}]`
        : error instanceof Error
          ? error.stack
          : String(error);
    process.stderr.write(`rekeycast: ${text}\n`);
    process.exitCode = 1;
  },
);
