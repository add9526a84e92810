import { readFile } from 'node:fs/promises';
import { CryptoKernel } from './crypto-kernel.ts';
import { KernelProtector } from './kernel-protector.ts';
import type { MediaProtector } from './protector.ts';

/** Gives also the memory that its datagrams lie in. Throws where the file is not there, or this machine has no SIMD for it. */
export async function loadKernel(
  file: URL,
): Promise<{ readonly protector: MediaProtector; readonly memory: Uint8Array }> {
  const kernel = await CryptoKernel.load(await readFile(file));
  return { protector: new KernelProtector(kernel), memory: kernel.memory };
}
