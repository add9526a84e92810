import { monotonicNow } from '../util/clock.ts';
import { Camera } from './camera.ts';
import { detectCapabilities } from './capabilities.ts';
import type { PageInput, PageOutput } from './io.ts';
import { Page } from './page.ts';
import { Peers } from './peers.ts';
import { Socket } from './socket.ts';
import { Stage } from './stage.ts';
import { View } from './view.ts';

/** The browser's timers overflow to "at once" beyond 2^31 - 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const page = new Page({ ...detectCapabilities(), jitter: Math.random });
const view = new View();
const socket = new Socket(handle);
const peers = new Peers(handle);
const camera = new Camera(handle);
const stage = new Stage(...view.videos, handle);

let timer: ReturnType<typeof setTimeout> | undefined;

function handle(input: PageInput): void {
  page.handle(input, monotonicNow());
  drain();
}

function drain(): void {
  for (let output = page.pollOutput(); output !== undefined; output = page.pollOutput()) perform(output);
  view.render(page.facts(), stage.sound);
  clearTimeout(timer);
  const due = page.nextTimeout();
  if (due === undefined) return;
  const delay = Math.min(Math.max(0, due - monotonicNow()), LONGEST_TIMER_MS);
  timer = setTimeout(() => {
    page.handleTimeout(monotonicNow());
    drain();
  }, delay);
}

function perform(output: PageOutput): void {
  switch (output.kind) {
    case 'probe':
      socket.probe(output.attempt);
      break;
    case 'openSocket':
      socket.open(output.attempt, output.protocols);
      break;
    case 'closeSocket':
      socket.close();
      break;
    case 'send':
      socket.send(output.message);
      break;
    case 'apply':
      peers.apply(output, camera.stream);
      if (output.create && output.role === 'viewer') prepare(output.peer);
      break;
    case 'show':
      show(output.peer);
      break;
    case 'closePeer':
      closePeer(output.peer);
      break;
    case 'readCertificate':
      void peers.readCertificate(output.peer);
      break;
    case 'openCamera':
      void camera.open();
      break;
    case 'closeCamera':
      if (camera.stream !== undefined) stage.remove(camera.stream);
      camera.close();
  }
}

function prepare(peer: number): void {
  const stream = peers.streamOf(peer);
  if (stream !== undefined) stage.prepare(peer, stream);
}

/** A broadcaster sees its own camera, which is the same stream on every connection. */
function show(peer: number | undefined): void {
  if (peer === undefined) return;
  if (page.facts().role === 'broadcaster' && camera.stream !== undefined) {
    stage.show(undefined, camera.stream);
    return;
  }
  const stream = peers.streamOf(peer);
  if (stream !== undefined) stage.show(peer, stream);
}

function closePeer(peer: number): void {
  const stream = peers.streamOf(peer);
  if (stream !== undefined) stage.remove(stream);
  peers.close(peer);
}

view.broadcast.addEventListener('click', () => handle({ kind: 'press', button: 'broadcast' }));
view.stop.addEventListener('click', () => handle({ kind: 'press', button: 'stop' }));
view.sound.addEventListener('click', () => {
  stage.toggleSound();
  view.render(page.facts(), stage.sound);
});
addEventListener('online', () => handle({ kind: 'wake' }));
document.addEventListener('visibilitychange', () => {
  handle({ kind: 'visibility', hidden: document.hidden });
  if (!document.hidden) handle({ kind: 'wake' });
});
addEventListener('pagehide', () => handle({ kind: 'leaving' }));
// A page that comes out of the back-forward cache has left already: it starts anew.
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
});

handle({ kind: 'start' });
