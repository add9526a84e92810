import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { prepareServer } from '../support/fixture.ts';
import { libdatachannel, werift } from '../support/foreign-stacks.ts';
import { HeadlessPage } from '../support/headless-page.ts';
import { videoPacket } from '../support/room-media.ts';
import { elapse, until } from '../support/wait.ts';

let stop: (() => void) | undefined;
/** Nothing is sent while there is no server: how long that takes is the machine's. */
let paused = false;
afterEach(() => stop?.());

/** Sends video at 50 packets a second, each third a keyframe's. */
function broadcast(page: HeadlessPage): void {
  let sequence = 100;
  paused = false;
  const timer = setInterval(() => {
    if (paused) return;
    sequence++;
    page.send(
      videoPacket({ sequence, timestamp: sequence * 1_800, keyframe: sequence % 3 === 0, ssrc: 0x51 }),
    );
  }, 20);
  stop = () => clearInterval(timer);
}

describe.each([
  { one: 'werift', broadcaster: werift, other: 'libdatachannel', viewer: libdatachannel },
  { one: 'libdatachannel', broadcaster: libdatachannel, other: 'werift', viewer: werift },
])('$one broadcasting to $other', ({ broadcaster, viewer }) => {
  it('is seen, and goes on over kill -9 on new keys as one stream', async () => {
    const server = await prepareServer();
    await server.start();
    const pages = [new HeadlessPage(server.url, broadcaster), new HeadlessPage(server.url, viewer)] as const;
    onTestFinished(() => {
      for (const page of pages) page.close();
    });
    const [source, sink] = pages;
    await source.open();
    await until('the broadcaster has keys', () => source.epoch === 0);
    broadcast(source);
    await sink.open();
    await until('the viewer sees packets', () => sink.video.length > 50);

    await server.kill('SIGKILL');
    paused = true;
    await elapse(500);
    await server.start();
    paused = false;
    const before = sink.video.length;
    await Promise.all(pages.map((page) => page.open()));
    await until('both have new keys', () => source.epoch === 1 && sink.epoch === 1);
    await until('the viewer sees packets on its new connection', () =>
      sink.video.slice(before).some(({ connection }) => connection === 2),
    );
    await until('the viewer sees many more packets', () => sink.video.length > before + 50);

    expect(new Set(sink.video.map(({ ssrc }) => ssrc)).size).toBe(1);
    const numbers = sink.video.map(({ sequenceNumber }) => sequenceNumber);
    const steps = numbers.slice(1).map((number, i) => (number - numbers[i]! + 65_536) % 65_536);
    expect(Math.max(...steps.filter((step) => step < 32_768))).toBeLessThan(300);
  });
});
