import type { DemoAction } from '../signaling/protocol.ts';
import type { DemoFacts } from './demo.ts';

/** What the demonstration says, in words for people who have never heard of DTLS. */

export const UNDER_WAY: Readonly<Record<DemoAction, string>> = {
  kill: 'The server is being killed. Watch the picture.',
  deploy: 'A new server is being started beside the one that runs. Watch the picture.',
  rotate: 'The keys are being replaced…',
};

export const LATE_WORDS =
  'Nothing has come of it yet. If the server does not come back, look at what it says in its terminal.';

/** All of it, one after another: what is about to happen, and where to look when it has. */
export const DEMO_STEPS: readonly {
  readonly action: DemoAction;
  readonly lead: string;
  readonly look: string;
}[] = [
  {
    action: 'kill',
    lead: '1 of 3: in a moment the server is killed, without a warning and with no time to tidy up. Watch the picture.',
    look: 'Look at the continuity panel: from "server gone" to "server back" there was none, and where it has no bars there was no picture.',
  },
  {
    action: 'deploy',
    lead: '2 of 3: now the server is replaced by a new one, as when its software is updated. Watch whether you can see it.',
    look: 'Look at the continuity panel: the same marks again, and a seal that says whether it is still the same server, with new keys.',
  },
  {
    action: 'rotate',
    lead: '3 of 3: what the server writes down is under lock. Now the lock is changed.',
    look: 'Look at the continuity panel: it has no mark for it, since nobody was interrupted.',
  },
];

export const SHOW_OVER =
  'That was all: the server was killed, replaced and given another lock, and this page was never reloaded.';

/** What this page has seen of a restart. */
export function describeDone(action: DemoAction, before: DemoFacts, now: DemoFacts): string {
  const what =
    action === 'kill'
      ? 'The server was killed, and another one has taken its place.'
      : 'A new server has taken over, and the old one is gone.';
  return `${what} ${describePicture(now)} ${describeConnection(before, now)}`;
}

function describePicture({ role, picture, lastGapMs }: DemoFacts): string {
  if (role === 'broadcaster') return 'Your camera was on all the time; those who watch see the gap.';
  if (!picture) return 'Nobody is broadcasting, so there was no picture to stand still.';
  return lastGapMs === undefined
    ? 'The picture goes on.'
    : `The picture stood still for ${describeSpan(lastGapMs)} and goes on.`;
}

function describeConnection(before: DemoFacts, now: DemoFacts): string {
  const way = now.connections === before.connections ? 'the same connection' : 'a new connection';
  const rekeyed = before.epoch !== undefined && now.epoch !== undefined && now.epoch > before.epoch;
  return rekeyed ? `It is ${way}, and every key is new (key epoch ${now.epoch}).` : `It is ${way}.`;
}

const describeSpan = (ms: number): string =>
  ms < 1_000 ? `${Math.round(ms / 10) * 10} ms` : `${(ms / 1_000).toFixed(1)} seconds`;
