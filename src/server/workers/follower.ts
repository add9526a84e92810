import type { Millis } from '../../util/clock.ts';
import type { Broadcast } from '../broadcast.ts';
import type { BroadcastOutput, CrewOutput } from '../broadcast-io.ts';
import { type FromFollower, type ToFollower, takeApart } from './messages.ts';

/** Does in an engine that follows what the one that leads says. Its outputs are to be drained then. */
export function follow(broadcast: Broadcast, message: ToFollower, now: Millis): void {
  switch (message.kind) {
    case 'open':
      broadcast.openPage(message.page, message.token, message.position, now);
      break;
    case 'enter':
      broadcast.openPage(message.page, undefined, undefined, now);
      broadcast.enter(message.page.id, message.session, message.capabilities, now);
      break;
    case 'say':
      broadcast.handleMessage(message.page, message.message, now);
      break;
    case 'close':
      broadcast.closePage(message.page, now);
      break;
    case 'dismiss':
      broadcast.dismiss(message.session, now);
      break;
    case 'rekey':
      broadcast.rekeyAll(now);
      break;
    case 'media':
      for (const packet of takeApart(message.packets)) broadcast.handleRelayed(packet, now);
  }
}

/** All that it wants done, by itself and by the engine that leads. */
export const pollFollower = (broadcast: Broadcast): BroadcastOutput | CrewOutput | undefined =>
  broadcast.pollOutput() ?? broadcast.relay.pollOutput();

/** What of its outputs is for the engine that leads; the rest is the follower's own to do. */
export function reportOf(
  broadcast: Broadcast,
  output: BroadcastOutput | CrewOutput,
): FromFollower | undefined {
  switch (output.kind) {
    case 'message': {
      const { page, message } = output;
      return { kind: 'message', page, message, session: broadcast.sessionOf(page) };
    }
    case 'disconnect':
    case 'viewers':
    case 'keyframe-wanted':
    case 'event':
      return output;
    default:
      return undefined;
  }
}
