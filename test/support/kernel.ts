import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CryptoKernel } from '../../src/transport/srtp/crypto-kernel.ts';
import { ROOT } from './process.ts';

const PROGRAM = readFileSync(join(ROOT, 'dist', 'srtp-kernel.wasm'));

/** The kernel as it was built: a fresh one each time. */
export const loadKernel = (): Promise<CryptoKernel> => CryptoKernel.load(PROGRAM);
