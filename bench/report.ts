import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../test/support/process.ts';

const RESULTS = join(ROOT, 'bench', 'RESULTS.md');

/** Puts a benchmark's section in the place of the last one in `bench/RESULTS.md`. Throws where the file has no such section. */
export function writeSection(
  name: 'fanout' | 'fanout-path' | 'resume' | 'snapshot' | 'memory',
  markdown: string,
): void {
  const [begin, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->\n`];
  const text = readFileSync(RESULTS, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`bench/RESULTS.md has no section ${name}`);
  writeFileSync(RESULTS, `${text.slice(0, from + begin.length)}\n${markdown.trim()}\n\n${text.slice(to)}`);
}
