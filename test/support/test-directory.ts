import { afterEach, beforeEach } from 'vitest';
import { temporaryDirectory } from './snapshots.ts';

/** A fresh directory for each test of a file, gone with it. To be called before other hooks that use it. */
export function testDirectory(): { readonly path: string } {
  let directory: ReturnType<typeof temporaryDirectory> | undefined;
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(() => directory?.dispose());
  return {
    get path() {
      if (directory === undefined) throw new Error('no test is running');
      return directory.path;
    },
  };
}
