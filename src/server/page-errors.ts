import type { ServerMessage, SignalingErrorCode } from '../signaling/protocol.ts';

type PageError = Extract<ServerMessage, { type: 'error' }>;

const error = (code: SignalingErrorCode, message: string): PageError => ({ type: 'error', code, message });

/** What a page is told where it does not get what it asked for, or loses what it had. */
export const PAGE_ERROR = {
  tokenUnknown: error(
    'TOKEN_UNKNOWN',
    'This resume token is unknown, expired or was used before. Join anew.',
  ),
  notJoined: error('MESSAGE_INVALID', 'The first message has to be "join".'),
  shuttingDown: error(
    'SHUTTING_DOWN',
    'This server is being taken out of service and takes nobody new. Try again in a moment.',
  ),
  accessExpired: error('ACCESS_EXPIRED', 'This token has expired. Ask for another one where it came from.'),
  tooManyVisits: error(
    'TOO_MANY_VISITS',
    'From your address there are as many visits as one address may have.',
  ),
  roomFull: error('ROOM_FULL', 'The room is full.'),
  mayOnlyView: error(
    'PUBLISH_FORBIDDEN',
    'The token of this page is for watching. To broadcast takes another one.',
  ),
  mayBeginNothing: error(
    'PUBLISH_FORBIDDEN',
    'The token of this page has expired: what it has goes on, and nothing new may begin.',
  ),
  broadcasterPresent: error('BROADCASTER_PRESENT', 'Somebody else is broadcasting.'),
  superseded: error('SUPERSEDED', 'This session was opened elsewhere.'),
  unreachable: error('UNREACHABLE', 'No media connection to your browser came about.'),
} as const;
