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

/** The same, for who must go on whatever becomes of the log: a line that cannot be told is lost, since there is nobody to tell that to. */
export function undisturbed(log: Logger): Logger {
  const tell =
    (level: keyof Logger) =>
    (event: object, words?: string): void => {
      try {
        log[level](event, words);
      } catch {
        // Nor does anything that is under way end for it.
      }
    };
  return { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
}

const SECRET_NAMES = ['token', 'pwd', 'password', 'passphrase', 'secret', 'privateKey', 'credential', 'sdp'];
