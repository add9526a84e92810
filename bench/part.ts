import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ROOT } from '../test/support/process.ts';

/** Another process of a benchmark: `bench/<name>.ts`. */
export const startPart = (name: string, args: readonly string[] = []): ChildProcess =>
  fork(join(ROOT, 'bench', 'run.mjs'), [name, ...args], { cwd: ROOT });

/** What it says next. Throws where it ends instead. */
export async function answerOf<Answer>(part: ChildProcess): Promise<Answer> {
  const heard = new AbortController();
  const { signal } = heard;
  try {
    const [answer] = await Promise.race([
      once(part, 'message', { signal }),
      once(part, 'exit', { signal }).then(() => {
        throw new Error(`a part of the benchmark has ended: ${part.spawnargs.slice(2).join(' ')}`);
      }),
    ]);
    return answer as Answer;
  } finally {
    heard.abort();
  }
}
