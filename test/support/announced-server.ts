import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { AdminRequest, AdminResponse } from '../../src/keyring/admin-protocol.ts';
import { announceServer } from '../../src/snapshot/run-file.ts';
import { adminServer } from './admin-server.ts';

type Answer = AdminResponse | undefined | Promise<AdminResponse | undefined>;

/** Servers of which there is the admin socket only, announced as the ones that run on a STATE_DIR. They end with the test. */
export interface AnnouncedServers {
  /** One that gives these answers; it hangs up where there is none. Gives what it is asked from now on. */
  start(answer: (request: AdminRequest) => Answer, runtimeDir?: string): Promise<readonly AdminRequest[]>;
  /** None listens any more; who is being answered still is. */
  end(): void;
}

export function announcedServers(stateDir: { readonly path: string }): AnnouncedServers {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  return {
    start: async (answer, runtimeDir) => {
      const asked: AdminRequest[] = [];
      const adminSocket = join(stateDir.path, 'admin.sock');
      const { close } = await adminServer(adminSocket, async (request) => {
        asked.push(request);
        return answer(request);
      });
      closing.push(close);
      announceServer(stateDir.path, { adminSocket, runtimeDir });
      return asked;
    },
    end: () => void closing.splice(0).map((close) => close()),
  };
}
