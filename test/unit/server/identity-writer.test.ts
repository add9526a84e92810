import { beforeEach, describe, expect, it, vi } from 'vitest';
import { IdentityWriter } from '../../../src/server/identity-writer.ts';

/** Writes that finish when the test says so. */
class Disk {
  /** What was said and done, in order. */
  readonly log: string[] = [];
  state = 0;
  #running: { readonly finish: (error?: Error) => void } | undefined;
  #started: (() => void) | undefined;

  readonly write = (): Promise<void> => {
    if (this.#running !== undefined) throw new Error('two writes at a time');
    this.log.push(`write ${this.state}`);
    const written = new Promise<void>((resolve, reject) => {
      this.#running = {
        finish: (error) => {
          this.#running = undefined;
          if (error === undefined) resolve();
          else reject(error);
        },
      };
    });
    this.#started?.();
    return written;
  };

  /** A write has begun. */
  async started(): Promise<void> {
    if (this.#running === undefined)
      await new Promise<void>((resolve) => {
        this.#started = resolve;
      });
  }

  async finish(error?: Error): Promise<void> {
    await this.started();
    this.#running!.finish(error);
  }
}

let disk: Disk;
let writer: IdentityWriter;
let failures: unknown[];
beforeEach(() => {
  disk = new Disk();
  failures = [];
  writer = new IdentityWriter(disk.write, (error) => failures.push(error));
});

describe('IdentityWriter', () => {
  it('writes once what changes in one turn of the loop, as it is at the end of it', async () => {
    for (disk.state = 1; disk.state < 4; disk.state++) writer.request();
    const flushed = writer.flush();
    expect(disk.log).toEqual([]);
    await disk.finish();
    await flushed;
    expect(disk.log).toEqual(['write 4']);
  });

  it('writes one at a time, and once more for all that changes meanwhile', async () => {
    writer.request();
    await disk.started();
    for (disk.state = 1; disk.state < 9; disk.state++) writer.request();
    expect(disk.log).toEqual(['write 0']);
    const flushed = writer.flush();
    await disk.finish();
    await disk.finish();
    await flushed;
    expect(disk.log).toEqual(['write 0', 'write 9']);
  });

  it('says what waits for a write when that write is done, and in order', async () => {
    writer.afterWrite(() => disk.log.push('first'));
    writer.afterWrite(() => disk.log.push('second'));
    await disk.started();
    expect(disk.log).toEqual(['write 0']);
    const flushed = writer.flush();
    await disk.finish();
    await disk.started();
    expect(disk.log).toEqual(['write 0', 'first', 'second', 'write 0']);
    await disk.finish();
    await flushed;
  });

  it('says what came during a write only after the next: the running one may not hold it', async () => {
    writer.request();
    await disk.started();
    disk.state = 1;
    writer.afterWrite(() => disk.log.push('said'));
    await disk.finish();
    await disk.started();
    expect(disk.log).toEqual(['write 0', 'write 1']);
    const flushed = writer.flush();
    await disk.finish();
    await disk.finish();
    await flushed;
    expect(disk.log).toEqual(['write 0', 'write 1', 'said', 'write 1']);
  });

  it('reports a write that fails, keeps nobody waiting, and writes again at the next change', async () => {
    const error = new Error('disk full');
    writer.afterWrite(() => disk.log.push('said'));
    await disk.finish(error);
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures).toEqual([error]);
    expect(disk.log).toEqual(['write 0', 'said']);
    disk.state = 1;
    const flushed = writer.flush();
    await disk.finish();
    await flushed;
    expect(disk.log).toEqual(['write 0', 'said', 'write 1']);
    expect(failures.length).toBe(1);
  });

  /** Holds the loop up with each write. */
  const slowWriter = (): IdentityWriter =>
    new IdentityWriter(
      () => {
        const from = performance.now();
        while (performance.now() - from < 5);
        return disk.write();
      },
      (error) => failures.push(error),
    );

  it('rests behind a write that has held the loop up, and makes one write of all that comes meanwhile', async () => {
    const slow = slowWriter();
    slow.request();
    await disk.finish();
    for (disk.state = 1; disk.state < 5; disk.state++) {
      slow.afterWrite(() => disk.log.push('said'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await disk.finish();
    await new Promise((resolve) => setImmediate(resolve));
    expect(disk.log).toEqual(['write 0', 'write 5', 'said', 'said', 'said', 'said']);
  });

  it('does not rest where somebody waits for all of it', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      const slow = slowWriter();
      slow.request();
      await disk.finish();
      slow.request();
      // Time stands still: a rest would have no end.
      const written = slow.written();
      await disk.finish();
      await written;
      expect(disk.log).toEqual(['write 0', 'write 0']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('takes a state that cannot be captured for a write that fails', async () => {
    const error = new Error('cannot be encoded');
    const broken = new IdentityWriter(
      () => {
        throw error;
      },
      (seen) => failures.push(seen),
    );
    await broken.flush();
    expect(failures).toEqual([error]);
  });
});
