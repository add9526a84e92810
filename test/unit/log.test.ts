import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Logger, logTo, undisturbed } from '../../src/log.ts';
import { ROOT } from '../support/process.ts';

function logged(level: string, work: (log: ReturnType<typeof logTo>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  work(logTo(level, { write: (line) => lines.push(line) }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('the log', () => {
  it('is a line of JSON for each event, with its data and its words', () => {
    const [line] = logged('info', (log) => log.warn({ event: 'other-origin', name: 'x' }, 'refused'));
    expect(line).toEqual({
      level: 40,
      time: expect.any(Number),
      pid: process.pid,
      event: 'other-origin',
      name: 'x',
      msg: 'refused',
    });
  });

  it('leaves out what is below its level', () => {
    expect(logged('warn', (log) => log.info({ event: 'keyed' }))).toEqual([]);
  });

  it('shows nothing that is called a secret, and whatever else there is', () => {
    const [line] = logged('info', (log) =>
      log.info({ event: 'keyed', token: 'a', page: { pwd: 'b', sdp: 'c', id: 7 }, secret: { deep: 'd' } }),
    );
    expect(line).toMatchObject({
      token: '[redacted]',
      page: { pwd: '[redacted]', sdp: '[redacted]', id: 7 },
      secret: '[redacted]',
    });
  });

  it('says of each event what it means, and of no other', () => {
    const text = readFileSync(join(ROOT, 'docs/log-events.md'), 'utf8');
    const documented = [...text.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, event]) => event!);
    expect(documented.sort()).toEqual([...eventsOfSource()].sort());
  });
});

/** Keys tell the audit log; pages and commands tell people. */
const ELSEWHERE = /^(client|keyring|observability)\//;

/** Every literal that stands for an event: where one is logged, and in the types of those that are handed on. */
function eventsOfSource(): ReadonlySet<string> {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const events = files
    .filter((file) => file.endsWith('.ts') && !ELSEWHERE.test(file))
    .flatMap((file) => {
      const code = readFileSync(join(ROOT, 'src', file), 'utf8').replaceAll(/\/\*.*?\*\//gs, '');
      const places = [
        ...code.matchAll(/\b(?:event|reason): ((?:\s*\|?\s*'[a-z-]+')+)/g),
        ...code.matchAll(/#warn\(\s*('[a-z-]+')/g),
        ...code.matchAll(/event: \w+ \? ('[a-z-]+' : '[a-z-]+')/g),
      ];
      return places.flatMap(([place, names]) =>
        // Of refusals only those are logged that an operator may have to mend.
        place!.startsWith('reason') && !/'(unknown-host|other-origin)'/.test(names!)
          ? []
          : [...names!.matchAll(/'([a-z-]+)'/g)].map(([, event]) => event!),
      );
    });
  return new Set(events);
}

describe('a log that is given from outside', () => {
  it('is told all there is', () => {
    const lines = logged('debug', (log) => {
      const same = undisturbed(log);
      same.debug({ event: 'a' });
      same.error({ event: 'b' }, 'words');
    });
    expect(lines).toMatchObject([
      { level: 20, event: 'a' },
      { level: 50, event: 'b', msg: 'words' },
    ]);
    expect(lines[0]).not.toHaveProperty('msg');
  });

  it('ends nothing where it throws', () => {
    const fails = (): never => {
      throw new Error('no space left');
    };
    const broken: Logger = { debug: fails, info: fails, warn: fails, error: fails };
    for (const level of ['debug', 'info', 'warn', 'error'] as const)
      expect(() => undisturbed(broken)[level]({ event: 'a' })).not.toThrow();
  });
});
