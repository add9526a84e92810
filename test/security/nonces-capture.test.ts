import { expect, it, onTestFinished } from 'vitest';
import { datagramKind, findNonceReuse } from '../support/capture.ts';
import { prepareServer } from '../support/fixture.ts';
import { flipped } from '../support/flipped.ts';
import { libdatachannel, werift } from '../support/foreign-stacks.ts';
import { HeadlessPage } from '../support/headless-page.ts';
import { freePort } from '../support/ports.ts';
import { type Datagram, UdpRelay } from '../support/relay.ts';
import { videoPacket } from '../support/room-media.ts';
import { elapse, until } from '../support/wait.ts';

const PACKET_INTERVAL_MS = 10;
const DOWN_MS = 200;

/** Each connection of these stacks has a socket of its own, and with it an address of its own: no names are needed. */
const findReuse = (capture: readonly Datagram[]) => findNonceReuse(capture, () => undefined);

async function startRelayed(): Promise<{
  relay: UdpRelay;
  pages: readonly HeadlessPage[];
  restart(): Promise<void>;
}> {
  const udpPort = await freePort();
  const relay = await UdpRelay.start({ serverPort: udpPort, record: true });
  onTestFinished(() => relay.close());
  const server = await prepareServer({ udpPort, announcedPort: relay.port });
  await server.start();
  const pages = [new HeadlessPage(server.url, libdatachannel), new HeadlessPage(server.url, werift)];
  onTestFinished(() => {
    for (const page of pages) page.close();
  });
  const restart = async () => {
    await server.kill('SIGKILL');
    await elapse(DOWN_MS);
    await server.start();
  };
  return { relay, pages, restart };
}

/** Sends video of one packet a frame, each third a keyframe, whose sequence numbers wrap in the run. */
function broadcast(page: HeadlessPage): void {
  let sequence = 65_536 - 300;
  const timer = setInterval(() => {
    const keyframe = ++sequence % 3 === 0;
    page.send(videoPacket({ sequence, timestamp: sequence * 900, keyframe, marker: true, ssrc: 0x51 }));
  }, PACKET_INTERVAL_MS);
  onTestFinished(() => clearInterval(timer));
}

it('nonces-capture: nothing that a real server sends, over two kills and re-keys, repeats a nonce', {
  timeout: 300_000,
}, async () => {
  const { relay, pages, restart } = await startRelayed();
  const [source, sink] = pages as [HeadlessPage, HeadlessPage];
  await source.open();
  await until('the broadcaster has keys', () => source.epoch === 0);
  broadcast(source);
  await sink.open();
  await until('the viewer sees packets', () => sink.video.length > 100);

  for (const epoch of [1, 2]) {
    await restart();
    const before = sink.video.length;
    // The server goes on under the old keys for as long as no page is back.
    await until('the viewer sees more under the stale keys', () => sink.video.length > before + 20);
    await Promise.all(pages.map((page) => page.open()));
    await until('both have new keys, and no old connection', () =>
      pages.every((page) => page.epoch === epoch && page.connections === 1),
    );
    await until('the viewer sees more under the new keys', () => sink.video.length > before + 120);
  }

  const report = findReuse(relay.capture);
  expect(report.reuses).toEqual([]);
  // At least the media of both pages in three epochs each; RTCP is another key where it is all that is sent.
  expect(report.keys).toBeGreaterThanOrEqual(6);
  expect(report.packets).toBeGreaterThan(500);

  // The search sees a nonce that is used again: the last packet, with another payload.
  const media = relay.capture.findLast(
    (one) => one.direction === 'down' && datagramKind(one.bytes) === 'rtp',
  )!;
  expect(findReuse([...relay.capture, { ...media, bytes: flipped(media.bytes, 12) }]).reuses).toHaveLength(1);
});
