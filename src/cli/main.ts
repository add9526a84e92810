/** The `rekeycast` command. Exit codes: 0 done, 1 failed, 2 called wrongly, 3 (keys) something is left to do. */
import { RekeycastError } from '../errors.ts';
import { harden } from './harden.ts';

const HELP = `rekeycast - a WebRTC broadcast server that survives kill -9 on fresh keys

Usage:

  rekeycast serve          run the server in the foreground
  rekeycast status         what it does: sessions, keys, media, drops, snapshots; --watch for a live view
  rekeycast health         whether the server is alive, or ready: for container engines and scripts
  rekeycast rekey          replace the keys of every live session, unnoticed
  rekeycast drain          let nobody new in, and end when the last has left
  rekeycast keys           show, replace and check the snapshot keys: status, rotate and others
  rekeycast certificate    show and replace the certificate by which browsers know the server
  rekeycast snapshot       inspect what was written down, without opening it
  rekeycast compile        make each start shorter where the server may not write beside its program

Settings are environment variables: HOST, PORT, UDP_PORT, STATE_DIR, KEYS_DIR, RUNTIME_DIR and others; see docs/configuration.md.
rekeycast <command> --help says more about one of them.
`;

/** What V8 has compiled of this program, on disk. */
export interface CodeCache {
  /** Keeps what it has compiled so far, for the next start. `isWhole`: a server that went on with sessions has run. */
  readonly keep: (isWhole: boolean) => void;
  /** Compiles all of it, and gives the file. Throws where that cannot be written. */
  readonly compile: () => string;
}

/** Gives the exit code. Never rejects. */
export async function main(argv: readonly string[], codeCache: CodeCache): Promise<number> {
  try {
    return await run(argv, codeCache);
  } catch (error) {
    const text =
      error instanceof RekeycastError
        ? `${error.message} [${error.code}]`
        : error instanceof Error
          ? error.stack
          : String(error);
    process.stderr.write(`rekeycast: ${text}\n`);
    return 1;
  }
}

async function run(argv: readonly string[], codeCache: CodeCache): Promise<number> {
  const [command, ...rest] = argv;
  // A thread of a server, which runs the same program.
  if (command === 'worker') {
    const { runWorker } = await import('../server/workers/thread.ts');
    if (runWorker()) return 0;
  }
  const warnings = harden();
  switch (command) {
    case 'serve': {
      if (process.env.DEMO_CONTROLS) {
        const { superviseWhereWanted } = await import('./supervise.ts');
        const code = await superviseWhereWanted(rest, process.env);
        if (code !== undefined) return code;
      }
      const { serve } = await import('./serve.ts');
      return serve(rest, warnings, codeCache.keep);
    }
    case 'keys': {
      const { runKeys } = await import('./keys.ts');
      return runKeys(rest, process.env, process);
    }
    case 'certificate': {
      const { runCertificate } = await import('./certificate.ts');
      return runCertificate(rest, process.env, process);
    }
    case 'snapshot': {
      const { runSnapshot } = await import('./snapshot.ts');
      return runSnapshot(rest, process.env, process);
    }
    case 'rekey': {
      const { rekey } = await import('./rekey.ts');
      return rekey(rest, process.env, process);
    }
    case 'status': {
      const { status } = await import('./status.ts');
      // Who reads has read enough (`| head`).
      process.stdout.once('error', () => process.exit(0));
      return status(rest, process.env, process);
    }
    case 'drain': {
      const { drain } = await import('./drain.ts');
      return drain(rest, process.env, process);
    }
    case 'health': {
      const { health } = await import('./health.ts');
      return health(rest, process.env, process);
    }
    case 'compile': {
      const { compile } = await import('./compile.ts');
      return compile(rest, codeCache.compile, process);
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
