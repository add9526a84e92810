import { endianness } from 'node:os';

/** sendmmsg(2), the one system call that is made by way of a foreign function. Key material never crosses it. */
export interface SystemCall {
  /** Gives how many of the messages at `address` have left, or a negated errno. Never blocks. */
  sendmmsg(descriptor: number, address: number, count: number): number;
  /** Where a view's memory lies: valid as long as that is not collected, and does not grow. */
  addressOf(view: Uint8Array): number;
}

const MSG_DONTWAIT = 0x40;

/** `undefined` where this machine has no such call, or koffi, which is an optional dependency, is not installed. */
export async function loadSystemCall(): Promise<SystemCall | undefined> {
  // The layout of what is handed over is that of 64-bit, little-endian Linux.
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch) || endianness() !== 'LE')
    return undefined;
  try {
    const { default: koffi } = await import('koffi');
    const call = koffi.load(null).func('sendmmsg', 'int', ['int', 'uintptr_t', 'uint', 'int']);
    return {
      sendmmsg: (descriptor, address, count) => {
        const sent: number = call(descriptor, address, count, MSG_DONTWAIT);
        return sent < 0 ? -koffi.errno() : sent;
      },
      addressOf: (view) => Number(koffi.address(view)),
    };
  } catch {
    return undefined;
  }
}
