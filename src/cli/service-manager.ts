import { spawn } from 'node:child_process';

/** Longer than a busy machine takes to start a small program. */
const PATIENCE_MS = 10_000;

/**
 * Tells the service manager that started us how we are (sd_notify(3)), where it wants to know: a unit with `Type=notify` counts as started with
 * `READY=1`. By systemd's own program, because Node has no datagram sockets of the unix kind; hence `NotifyAccess=all`.
 *
 * Gives what went wrong, in words; `undefined` where it was told, or does not ask.
 */
export function notifyServiceManager(
  assignments: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  if (env.NOTIFY_SOCKET === undefined || env.NOTIFY_SOCKET === '') return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const child = spawn('systemd-notify', [...assignments], {
      // Nothing of what else is in the environment is its business.
      env: { PATH: env.PATH, NOTIFY_SOCKET: env.NOTIFY_SOCKET },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: PATIENCE_MS,
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, 1_000);
    });
    child.once('error', ({ message }) => resolve(`systemd-notify: ${message}`));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : `systemd-notify: ${said.trim() || `ended with ${signal ?? code}`}`),
    );
  });
}
