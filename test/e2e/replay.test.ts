import { describe, expect, it } from 'vitest';
import { datagramKind } from '../support/capture.ts';
import { startBroadcast } from '../support/fixture.ts';
import { flipped } from '../support/flipped.ts';
import { composures, expectComposed, expectSurvival } from '../support/survival.ts';
import { elapse, until } from '../support/wait.ts';

const BATCH = 50;

describe('datagrams of the past', { timeout: 300_000 }, () => {
  it('change nothing for anybody when they are sent again after the re-key', async () => {
    const running = await startBroadcast({ record: true });
    await until('there is something to replay', () => running.udp.capture.length > 1_000);
    await expectSurvival(running, () => running.server.restart(300));
    running.udp.recording = false;
    const old = running.udp.capture.filter((one) => one.at < running.server.run.spawnedAt);
    expect(new Set(old.map((one) => datagramKind(one.bytes)))).toContain('rtp');
    const before = await composures(running);
    for (const [count, { direction, peer, bytes }] of old.entries()) {
      if (direction === 'down') running.udp.sendTo(peer, bytes);
      // Under the address of then and under all that came later.
      else for (const address of running.udp.peers) running.udp.sendAs(address, bytes);
      if (count % BATCH === 0) await elapse(5);
    }
    await expectComposed(running, before);
  });

  it('change nothing when they are sent twice at once, or with a bit flipped', async () => {
    const running = await startBroadcast();
    const before = await composures(running);
    let copies = 0;
    running.udp.onDatagram = ({ direction, peer, bytes }) => {
      if (datagramKind(bytes) !== 'stun') {
        for (const copy of [flipped(bytes), bytes]) {
          if (direction === 'up') running.udp.sendAs(peer, copy);
          else running.udp.sendTo(peer, copy);
        }
        copies += 1;
      }
      return undefined;
    };
    await until('many were copied', () => copies > 2_000);
    running.udp.onDatagram = undefined;
    await expectComposed(running, before);
  });
});
