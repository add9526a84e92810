import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import type { UdpSocket } from '../transport/socket.ts';
import type { Broadcast } from './broadcast.ts';

/** What makes media fast, beside the built program. */
const KERNEL = new URL('./srtp-kernel.wasm', import.meta.url);

export interface QuickenOptions {
  readonly broadcast: Broadcast;
  readonly udp: UdpSocket;
  readonly sendPath: Config['sendPath'];
  /** Of the socket, where it is known. */
  readonly descriptor: number | undefined;
  readonly log: Logger;
  readonly isStopped: () => boolean;
}

/** What media goes on without, and faster with: it is loaded when everything else is. */
export async function quicken(options: QuickenOptions): Promise<void> {
  const { broadcast, udp, sendPath: wanted, descriptor, log, isStopped } = options;
  const { loadKernel } = await import('../transport/srtp/load-kernel.ts');
  let memory: Uint8Array | undefined;
  try {
    const kernel = await loadKernel(KERNEL);
    broadcast.useProtector(kernel.protector);
    memory = kernel.memory;
  } catch (error) {
    log.warn(
      { event: 'kernel-unavailable', err: error },
      'media is encrypted packet by packet, which takes several times the processor time',
    );
  }
  const { climb } = await import('../transport/send-ladder.ts');
  if (isStopped()) return;
  const { path, why } = await climb(udp, {
    wanted,
    memory,
    descriptor,
    fellBack: (to, errno) =>
      log.warn({ event: 'send-path-fell-back', path: to, errno }, 'media leaves a slower way from now on'),
  });
  // Whoever has asked for a way is told why it is another.
  log[wanted === 'auto' || wanted === path ? 'info' : 'warn']({ event: 'send-path', path, why });
}
