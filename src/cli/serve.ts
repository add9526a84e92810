import { once } from 'node:events';
import { findSlips, readConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { inheritedSockets, LISTEN_VARIABLES } from '../server/inherited-sockets.ts';
import { type RunningServer, startServer } from '../server/server.ts';
import { monotonicNow } from '../util/clock.ts';
import { demoChannel, SUPERVISED } from './demo-channel.ts';
import { notifyServiceManager } from './service-manager.ts';
import { findPredecessor, type Takeover } from './takeover.ts';

const HELP = `rekeycast serve - run the server in the foreground

Usage:

  rekeycast serve [--takeover]

  --takeover   where a server runs on STATE_DIR already: load everything beside it, then have it hand over and end. It goes on as long as anything is
               wrong here. Where none runs, start as usual

Settings are environment variables; see docs/configuration.md. SIGTERM and SIGINT end it, and nobody is lost; a second one ends it at once.
`;

/** Why a server ends whose supervisor has: nobody would start it again, and nobody would pass a signal on to it. */
const SUPERVISOR_GONE = 'supervisor-gone';

/** Before it keeps what has been compiled, a server has done all that a restart does. */
const COMPILED_MS = 3_000;

/** `rekeycast serve`: runs until SIGTERM or SIGINT. A second signal ends it at once. `warnings` are for the log. */
export async function serve(
  argv: readonly string[],
  warnings: readonly string[],
  keepCompiled: (isWhole: boolean) => void,
): Promise<number> {
  const [option, surplus] = argv;
  if (option === '--help' || option === '-h') {
    process.stdout.write(HELP);
    return 0;
  }
  if (surplus !== undefined || (option !== undefined && option !== '--takeover')) {
    process.stderr.write(`rekeycast serve: there is no "${surplus ?? option}" to it\n\n${HELP}`);
    return 2;
  }
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  for (const message of warnings) log.warn({ event: 'core-dumps' }, message);
  // The order matters only to people: the signal handlers have to be there before anybody can see that the server is.
  const { stop, end } = stopOnSignal();
  const inherited = inheritedSockets(process.env, process.pid);
  const demo = config.demoControls ? demoChannel(process.env, () => end(SUPERVISOR_GONE)) : undefined;
  for (const name of [...LISTEN_VARIABLES, SUPERVISED]) delete process.env[name];
  if (inherited.ignored !== undefined) log.warn({ event: 'sockets-ignored' }, inherited.ignored);
  let takeover: Takeover | undefined;
  let server: RunningServer;
  try {
    const found = option === undefined ? undefined : await findPredecessor(config, log, { inherited, stop });
    takeover = found;
    server = await startServer(config, log, {
      inherited,
      stop,
      ...(found === undefined ? {} : { takeOver: () => found.take() }),
      ...(demo === undefined ? {} : { demo }),
    });
  } catch (error) {
    if (takeover !== undefined) log.error({ event: 'takeover-failed' }, takeover.standing);
    if (!stop.aborted || error !== stop.reason) throw error;
    log.info({ event: 'stopping', signal: stop.reason }, 'before it had started; no snapshot was touched');
    return leaveSoon();
  } finally {
    // The first packet waits neither for a library of threads, nor for a comparison of the whole environment with every setting.
    if (process.getBuiltinModule('node:inspector').url() !== undefined)
      log.warn({ event: 'inspector' }, 'a debugger may attach (--inspect): whoever does reads every key');
    for (const message of findSlips(process.env)) log.warn({ event: 'unknown-setting' }, message);
  }
  if (inherited.udp !== undefined || inherited.tcp !== undefined) {
    const given = (['udp', 'tcp'] as const).filter((kind) => inherited[kind] !== undefined);
    log.info({ event: 'sockets-inherited', given, port: server.port, udpPort: server.udpPort });
  }
  const host = config.host === '0.0.0.0' || config.host === '::' ? 'localhost' : config.host;
  process.stdout.write(
    `Open ${config.tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${server.port} to access this demo\n`,
  );
  setTimeout(() => keepCompiled(server.resumed), COMPILED_MS).unref();
  demo?.ready();
  notifyServiceManager(['READY=1'], process.env).then((problem) => {
    if (problem === undefined) return;
    log.error(
      { event: 'service-manager-not-told', problem },
      'the service manager could not be told that the server is ready: it will take it for one that hangs',
    );
  });
  const signalled = stop.aborted ? Promise.resolve() : once(stop, 'abort');
  const reason = await Promise.race([
    signalled.then(() => undefined),
    server.drained,
    server.handedOver.then(() => 'handed-over'),
  ]);
  const why = reason ?? (demo !== undefined && stop.reason === SUPERVISOR_GONE ? SUPERVISOR_GONE : undefined);
  if (why === undefined) log.info({ event: 'stopping', signal: stop.reason });
  else log.info({ event: 'stopping', reason: why }, WHY_STOPPING[why]);
  await server.shutdown();
  return leaveSoon();
}

const WHY_STOPPING: Readonly<Record<string, string>> = {
  drained: 'the last visitor has left',
  'drain-timeout':
    'SHUTDOWN_MAX_WAIT has passed: who is left may come back to the next server within SESSION_TTL',
  'handed-over': 'another server has taken over',
  [SUPERVISOR_GONE]: 'the supervisor that has started it is gone',
};

/** What still holds the process when all is written (a page that does not close, a key command that hangs) does not hold it for longer. */
const LINGER_MS = 300;

/** Given by the first signal, or by `end`, with its name as the reason; the second signal ends the process at once. */
function stopOnSignal(): { readonly stop: AbortSignal; readonly end: (reason: string) => void } {
  const stop = new AbortController();
  let firstAt = Number.POSITIVE_INFINITY;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) {
        if (monotonicNow() - firstAt > LINGER_MS) exitOnHangingDisk();
        process.exit(1);
      }
      firstAt = monotonicNow();
      stop.abort(signal);
    });
  }
  return { stop: stop.signal, end: (reason) => stop.abort(reason) };
}

function leaveSoon(): number {
  const leave = (): void => {
    exitOnHangingDisk();
    process.exit(0);
  };
  setTimeout(leave, LINGER_MS).unref();
  return 0;
}

/** A thread that waits for a disk holds `process.exit` for as long. Nothing that it could write is waited for any more. */
function exitOnHangingDisk(): void {
  if (process.getActiveResourcesInfo().some((kind) => kind.startsWith('FSReq')))
    process.kill(process.pid, 'SIGKILL');
}
