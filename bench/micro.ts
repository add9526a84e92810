import { readFileSync } from 'node:fs';
import { CryptoKernel } from '../src/transport/srtp/crypto-kernel.ts';
import { KernelProtector } from '../src/transport/srtp/kernel-protector.ts';
import { SrtpSendContext } from '../src/transport/srtp/send-context.ts';
import { rtpPacket, TEST_SSRC, testMasterKey } from '../test/support/srtp.ts';
const PROFILE = 'AES_CM_128_HMAC_SHA1_80';
const kernel = await CryptoKernel.load(readFileSync('dist/srtp-kernel.wasm'));
const packets = Number(process.argv[2] ?? 8);
const contexts = Array.from({ length: 304 }, (_, seed) => SrtpSendContext.create(PROFILE, testMasterKey(PROFILE, seed)));
const fast = new KernelProtector(kernel);
let index = 0; const jobs: any[] = Array.from({ length: 64 }, () => ({}));
const per = 64 / packets; let sum = 0;
function turn() {
  const media = Array.from({ length: packets }, () => { index++; return { ssrc: TEST_SSRC, index, bytes: rtpPacket(index, TEST_SSRC, new Uint8Array(1088)) }; });
  for (let first = 0; first + per <= contexts.length; first += per) {
    for (let v = 0; v < per; v++) for (let p = 0; p < packets; p++) { const j = jobs[v * packets + p]; j.context = contexts[first + v]; j.packet = media[p]; }
    fast.protect(jobs, (_j: unknown, d: Uint8Array) => { sum += d.length; }, (_j: unknown, e: unknown) => { throw e; });
  }
  return Math.floor(contexts.length / per) * 64;
}
for (let r = 0; r < 6; r++) {
  const c = process.cpuUsage(); let n = 0; const end = performance.now() + Number(process.argv[3] ?? 700);
  while (performance.now() < end) { n += turn(); await new Promise(setImmediate); }
  const u = process.cpuUsage(c); console.log(((u.user + u.system) * 1000 / n).toFixed(0), 'ns');
}
