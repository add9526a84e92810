/** Compiles the kernel of the media's protection, which is AssemblyScript: `dist/srtp-kernel.wasm`. */
import { main } from 'assemblyscript/asc';

const SOURCE = 'src/transport/srtp/kernel/kernel.ts';
/** 64 kB each. The memory never grows: addresses in it stay what they are, and no copy of it is left behind. */
const PAGES = '10';

export async function buildKernel(outfile) {
  const { error, stderr } = await main([
    SOURCE,
    ...['--outFile', outfile, '-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd'],
    ...['--initialMemory', PAGES, '--maximumMemory', PAGES, '--memoryBase', '1536'],
  ]);
  if (error !== null) throw new Error(`the kernel does not compile\n${stderr.toString()}`, { cause: error });
}
