import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUILT_SERVER, ROOT, ServerProcess } from '../test/support/process.ts';
import { elapse, until } from '../test/support/wait.ts';
const [viewers, way, packets] = [process.argv[2] ?? '300', process.argv[3] ?? 'gso', process.argv[4] ?? '8'];
const server = await ServerProcess.start({ env: { LOG_LEVEL: 'info', SEND_PATH: way }, command: [process.execPath, '--import', '/tmp/w/cpusample.mjs', BUILT_SERVER] });
await until('the way is chosen', () => server.events('send-path').length === 1);
const loads: ChildProcess[] = [];
async function load(args: string[]) { const child = fork(join(ROOT, 'bench', 'run.mjs'), ['fanout-load', ...args], { cwd: ROOT }); loads.push(child); await once(child, 'message'); }
const at = ['--url', server.url, '--udp', String(server.udpPort)];
const cpu = () => readdirSync(`/proc/${server.run.pid}/task`).map((t) => [t, readFileSync(`/proc/${server.run.pid}/task/${t}/comm`, 'latin1').trim(), Number(readFileSync(`/proc/${server.run.pid}/task/${t}/schedstat`, 'latin1').split(' ')[0])] as const);
try {
  await load(['--role', 'source', '--packets', packets, '--bytes', '1100', '--interval', process.argv[5] ?? '33.3', ...at]);
  await load(['--role', 'viewers', '--count', viewers, ...at]);
  await elapse(3000);
  const a = cpu();
  process.kill(server.run.pid, 'SIGUSR2'); await elapse(7000);
  
  for (const [t, c, n] of cpu()) { const before = a.find(([u]) => u === t)?.[2] ?? 0; if (n - before > 1e7) console.log(t, c, ((n - before) / 1e6).toFixed(0), 'ms'); }
console.log(String(server.run.stdout ?? '').slice(0,0)); console.log(server.run.stdout.split('\n').filter((l) => /Mark|Scav/.test(l)).slice(-40).join('\n')); } finally { for (const c of loads) c.kill(); await server.dispose(); }
