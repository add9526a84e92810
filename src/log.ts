import { destination, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/**
 * JSON lines on standard output, one for each event that matters. Written before the call returns, so that the last line before a
 * crash is there.
 */
export function createLog(level: string): Logger {
  return pino(
    { level, base: { pid: process.pid }, timestamp: () => `,"time":${Date.now()}` },
    destination({ dest: 1, sync: true }),
  );
}
