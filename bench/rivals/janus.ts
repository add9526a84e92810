import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import { freePort, LOOPBACK } from '../../test/support/ports.ts';
import { until } from '../../test/support/wait.ts';
import { answerTo, openDoor, transportIn } from './door.ts';

/** Debian's janus with a mountpoint of its streaming plugin, for `bench/fanout.ts`. */

const MOUNTPOINT = 1;
const LIBRARY = '/usr/lib/x86_64-linux-gnu/janus';
const KEEPALIVE_MS = 25_000;
const OTHER_TRANSPORTS = ['http', 'mqtt', 'nanomsg', 'pfunix', 'rabbitmq'];
const OTHER_PLUGINS =
  'audiobridge duktape echotest lua nosip recordplay sip textroom videocall videoroom voicemail';

const port = await freePort();
const rtpPort = await freePort();
const folder = mkdtempSync(join(tmpdir(), 'rekeycast-janus-'));
const janus = start();
process.on('exit', () => {
  janus.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});
process.on('disconnect', () => process.exit());

interface Message {
  readonly janus: string;
  readonly transaction?: string;
  readonly session_id?: number;
  readonly sender?: number;
  readonly data?: { readonly id: number };
  readonly jsep?: { readonly sdp: string };
}

const api = await until('janus listens', connect);
/** Who waits for an answer, by transaction; and for the offer, by handle. */
const answers = new Map<string, (message: Message) => void>();
const offers = new Map<number, (sdp: string) => void>();
api.on('message', (data) => {
  const message = JSON.parse(String(data)) as Message;
  if (message.jsep !== undefined) offers.get(message.sender ?? 0)?.(message.jsep.sdp);
  else if (message.janus !== 'ack' && message.janus !== 'event')
    answers.get(message.transaction ?? '')?.(message);
});
let transactions = 0;

const { data: session } = await ask({ janus: 'create' });
const session_id = session!.id;
setInterval(() => void ask({ janus: 'keepalive', session_id }), KEEPALIVE_MS);

await openDoor(rtpPort, [janus.pid!], async () => {
  const { data } = await ask({ janus: 'attach', session_id, plugin: 'janus.plugin.streaming' });
  const handle_id = data!.id;
  const offered = new Promise<string>((resolve) => offers.set(handle_id, resolve));
  say({ janus: 'message', session_id, handle_id, body: { request: 'watch', id: MOUNTPOINT } });
  const sdp = await offered;
  return {
    transport: transportIn(sdp),
    answered: async (answer) => {
      const jsep = { type: 'answer', sdp: answerTo(sdp, answer) };
      say({ janus: 'message', session_id, handle_id, body: { request: 'start' }, jsep });
    },
  };
});

async function ask(request: object): Promise<Message> {
  const transaction = say(request);
  return new Promise((resolve) => answers.set(transaction, resolve));
}

function say(request: object): string {
  const transaction = String(transactions++);
  api.send(JSON.stringify({ ...request, transaction }));
  return transaction;
}

async function connect(): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${LOOPBACK}:${port}/`, 'janus-protocol');
  await once(socket, 'open');
  return socket;
}

/** As its documentation has it for many viewers: ICE lite, a loop of events for each processor, threads that help the mountpoint. */
function start(): ChildProcess {
  const processors = cpus().length;
  write(
    'janus.jcfg',
    `general: {
  plugins_folder = "${LIBRARY}/plugins"
  transports_folder = "${LIBRARY}/transports"
  debug_level = 1
  event_loops = ${processors}
}
nat: {
  ice_lite = true
  ice_enforce_list = "${LOOPBACK}"
}
plugins: {
  disable = "${OTHER_PLUGINS.split(' ')
    .map((name) => `libjanus_${name}.so`)
    .join(',')}"
}
transports: {
  disable = "${OTHER_TRANSPORTS.map((name) => `libjanus_${name}.so`).join(',')}"
}
`,
  );
  write(
    'janus.transport.websockets.jcfg',
    `general: {
  json = "compact"
  ws = true
  ws_port = ${port}
  ws_ip = "${LOOPBACK}"
}
`,
  );
  write(
    'janus.plugin.streaming.jcfg',
    `bench: {
  type = "rtp"
  id = ${MOUNTPOINT}
  video = true
  videoport = ${rtpPort}
  videoiface = "${LOOPBACK}"
  videopt = ${PAYLOAD_TYPE.vp8}
  videocodec = "vp8"
  threads = ${processors}
}
`,
  );
  return spawn('janus', ['-F', folder, '-o'], { stdio: 'ignore' });
}

function write(name: string, text: string): void {
  writeFileSync(join(folder, name), text);
}
