import { readConfig } from '../config.ts';
import { createLog } from '../log.ts';
import { startServer } from '../server/server.ts';

/** `rekeycast serve`: runs until SIGTERM or SIGINT. A second signal ends it at once. */
export async function serve(argv: readonly string[]): Promise<number> {
  if (argv.length > 0) {
    process.stderr.write('rekeycast serve takes no arguments: its settings are environment variables\n');
    return 2;
  }
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  // The order matters only to people: the signal handlers have to be there before anybody can see that the server is.
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1));
        resolve(signal);
      });
    }
  });
  const server = await startServer(config, log);
  const host = config.host === '0.0.0.0' || config.host === '::' ? 'localhost' : config.host;
  process.stdout.write(
    `Open http://${host.includes(':') ? `[${host}]` : host}:${server.port} to access this demo\n`,
  );
  const signal = await stopped;
  log.info({ event: 'stopping', signal });
  await server.shutdown();
  return 0;
}
