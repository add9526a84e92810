import { type DestinationStream, destination, pino } from 'pino';

/** Where events are told: one call for each, its data first, words for people second. Any logger of pino's kind is one. */
export interface Logger {
  debug(event: object, words?: string): void;
  info(event: object, words?: string): void;
  warn(event: object, words?: string): void;
  error(event: object, words?: string): void;
}

/**
 * JSON lines on standard output, one for each event that matters and is at least of this level (`trace`, `debug`, `info`, `warn`, `error`,
 * `fatal`, `silent`). Written before the call returns, so that the last line before a crash is there.
 */
export function createLog(level: string): Logger {
  return logTo(level, destination({ dest: 1, sync: true }));
}

/** The same, to anywhere. */
export function logTo(level: string, to: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":${Date.now()}`,
      // Nothing secret is told to the log; were it, by a slip, it would not stand there.
      redact: { paths: SECRET_NAMES.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    to,
  );
}

const SECRET_NAMES = ['token', 'pwd', 'password', 'passphrase', 'secret', 'privateKey', 'credential', 'sdp'];
