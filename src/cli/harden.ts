import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '../errors.ts';

/** No kind of memory goes into a core dump (core(5), "Controlling which mappings are written to the core dump file"). */
const DUMP_NOTHING = '0';
const OWN_FILES_ONLY = 0o077;

/**
 * Closes the ways by which Node lets memory out of a process: for the first moment of each command that handles keys.
 *
 * - SIGUSR1 opens the inspector, through which every user of the machine can read and change everything. A handler of ours keeps it shut.
 * - A core dump holds the keys. Node cannot set the limit for its size (`LimitCORE=0`, `ulimit -c 0`), which a dump to a program need not keep
 *   to either; that nothing is in one is a setting of the process.
 * - Diagnostic reports hold the environment.
 *
 * Gives what it could not do and the operator can, in words.
 */
export function harden(proc = '/proc/self'): readonly string[] {
  process.on('SIGUSR1', () => {
    process.stderr.write('rekeycast: SIGUSR1 opens no debugger here; nothing was done\n');
  });
  process.umask(OWN_FILES_ONLY);
  if (process.report !== undefined) {
    process.report.reportOnFatalError = false;
    process.report.reportOnSignal = false;
    process.report.reportOnUncaughtException = false;
  }
  return emptyCoreDumps(proc);
}

function emptyCoreDumps(proc: string): readonly string[] {
  try {
    writeFileSync(`${proc}/coredump_filter`, DUMP_NOTHING);
    const filter = readFileSync(`${proc}/coredump_filter`, 'latin1');
    return Number.parseInt(filter, 16) === 0 ? [] : [coreDumps(`the filter is ${filter.trim()}`)];
  } catch (cause) {
    return [coreDumps(messageOf(cause))];
  }
}

const coreDumps = (why: string): string =>
  `a core dump of this process would hold keys (${why}): switch them off, with LimitCORE=0 in a systemd unit or ulimit -c 0`;
