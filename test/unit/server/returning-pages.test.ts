import { expect, it } from 'vitest';
import { FIRST_HANDSHAKES } from '../../../src/server/handshake-queue.ts';
import { ReturningPages } from '../../../src/server/returning-pages.ts';
import type { Session } from '../../../src/session/session.ts';

interface Connection {
  pending: object | undefined;
  keyedAt: number | undefined;
}

/** What of a viewer's session counts here. */
class Viewer {
  readonly role = 'viewer';
  readonly connection: Connection = { pending: undefined, keyedAt: undefined };
  readonly connections = [this.connection];

  attach(): void {
    this.connection.pending = {};
  }

  detach(): void {}

  end(keyedAt?: number): void {
    this.connection.pending = undefined;
    this.connection.keyedAt = keyedAt;
  }
}

/** So many pages come back at once; whoever begins goes to `begun`. */
function comeBack(count: number) {
  const begun: Viewer[] = [];
  const returning = new ReturningPages((session) => begun.push(session as unknown as Viewer));
  for (let i = 0; i < count; i++) returning.letIn(new Viewer() as unknown as Session, undefined, 0);
  /** Some of those under way end in this way; gives how many are under way then. */
  const end = (viewers: readonly Viewer[], now: number, keyed: boolean): number => {
    for (const viewer of viewers) {
      viewer.end(keyed ? now : undefined);
      returning.follow(viewer as unknown as Session, now);
    }
    return begun.filter(({ connection }) => connection.pending !== undefined).length;
  };
  return { begun, end };
}

it('lets more pages begin as long as handshakes do not wait for each other, and fewer where they do', () => {
  const { begun, end } = comeBack(1_000);
  expect(begun).toHaveLength(FIRST_HANDSHAKES);
  expect(end(begun.slice(), 100, true)).toBeGreaterThan(FIRST_HANDSHAKES);
  const slow = begun.filter(({ connection }) => connection.pending !== undefined);
  expect(end(slow, 480, true)).toBeLessThan(slow.length);
});

it('learns nothing from pages that have their handshakes fail at once', () => {
  const { begun, end } = comeBack(1_000);
  const [failing, others] = [begun.slice(0, 16), begun.slice(16)];
  end(failing, 1, false);
  // A hundred milliseconds are no wait, whoever has failed sooner.
  expect(end(others, 100, true)).toBeGreaterThan(FIRST_HANDSHAKES);
});

it('learns from one that gets keys at once: the others wait', () => {
  const { begun, end } = comeBack(1_000);
  const [quick, others] = [begun.slice(0, 1), begun.slice(1)];
  end(quick, 1, true);
  expect(end(others, 100, true)).toBeLessThan(FIRST_HANDSHAKES);
});
