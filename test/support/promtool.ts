import { spawnSync } from 'node:child_process';

/** Debian's `prometheus` package has it; src/build/prepare.mjs installs that. */
const PROMTOOL = '/usr/bin/promtool';

/** What promtool says, and whether it is content. */
export function promtool(
  args: readonly string[],
  input = '',
): { readonly ok: boolean; readonly said: string } {
  const { status, stdout, stderr, error } = spawnSync(PROMTOOL, [...args], { input, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { ok: status === 0, said: `${stdout}${stderr}` };
}

/** Words of PromQL that stand where a metric's name could. */
const KEYWORDS = new Set(
  'and or unless by without on ignoring group_left group_right bool offset inf nan start end'.split(' '),
);

/** Names of the metrics in an expression: every word that is no label, function, keyword, duration or text. */
export function metricNames(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ');
  const words = bare.matchAll(/(?<![\w.:])([a-zA-Z_:][\w:]*)(\s*\()?/g);
  return [...words].flatMap(([, word, call]) =>
    call !== undefined || KEYWORDS.has(word!.toLowerCase()) ? [] : [word!],
  );
}
