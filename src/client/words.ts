import type { CameraProblem, Facts, PageState, Problem } from './facts.ts';
import type { QualityNow } from './quality.ts';

/** What the page says, in words for people who have never heard of DTLS. */
export function describeState(facts: Facts): string {
  if (facts.state === 'live' && facts.role === 'broadcaster') return 'You are live.';
  return STATE_WORDS[facts.state];
}

/** In the place of the picture; `describeState` stands below it. */
export function describeCurtain(facts: Facts): string {
  return CURTAIN_WORDS[facts.state] ?? 'One moment…';
}

/** In the tab. */
export function describeTitle(facts: Facts): string {
  return facts.onAir ? 'Live – rekeycast' : 'rekeycast';
}

/** Over the picture, in a word or two: what goes on while it goes on. */
export function describeHint(facts: Facts): string {
  return HINT_WORDS[facts.state] ?? '';
}

/** On the button that takes the place. */
export function describeBroadcast(hasWatched: boolean): string {
  return hasWatched ? 'Be the next broadcaster' : 'Broadcast';
}

/** Hours, minutes and seconds, as clocks of videos show them. */
export function describeTime(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const pair = (count: number): string => String(count % 60).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}:${pair(seconds)}` : `${hours}:${pair(minutes)}:${pair(seconds)}`;
}

/** A table of what is sent or received now; what is not known is a dash. */
export function describeQuality(
  now: QualityNow,
): Readonly<Record<'picture' | 'frames' | 'bits' | 'loss', string>> {
  const { width, height, framesPerSecond, kilobitsPerSecond, loss, limitedBy } = now;
  const limit = limitedBy === undefined ? '' : `, ${LIMIT_WORDS[limitedBy]}`;
  return {
    picture: width === undefined || height === undefined ? '–' : `${width} × ${height}${limit}`,
    frames: framesPerSecond === undefined ? '–' : `${Math.round(framesPerSecond)} a second`,
    bits: kilobitsPerSecond === undefined ? '–' : `${Math.round(kilobitsPerSecond)} kbit/s`,
    loss: loss === undefined ? '–' : `${(loss * 100).toFixed(1)} %`,
  };
}

/** In the dialog where devices are chosen. */
export function describeDeviceProblem(problem: CameraProblem): string {
  return DEVICE_WORDS[problem];
}

export function describeRole(facts: Facts): string {
  if (facts.role === undefined) return 'not joined yet';
  return facts.role === 'broadcaster' ? 'broadcasting' : 'watching';
}

export function describeProblem(problem: Problem | undefined): string {
  return problem === undefined ? '' : PROBLEM_WORDS[problem];
}

export function describeCertificate(facts: Facts): string {
  const { certificate, certificateSource } = facts;
  if (certificate === 'changed')
    return certificateSource === 'sdp' ? 'announced another one' : 'another one than at first';
  if (certificateSource === undefined) return 'not seen yet';
  if (certificate === 'unknown')
    return 'announced under another digest, which this browser does not let the page compare';
  return certificateSource === 'transport'
    ? 'the same since you came'
    : 'announced as the same since you came; this browser does not show it to the page';
}

export function describeGap(facts: Facts): string {
  return facts.lastGapMs === undefined ? 'none yet' : `${Math.round(facts.lastGapMs)} ms`;
}

const STATE_WORDS: Readonly<Record<PageState, string>> = {
  connecting: 'Connecting…',
  camera: 'Waiting for your camera. Your browser may be asking for permission.',
  live: 'You are watching live.',
  waiting: 'Nobody is broadcasting right now.',
  rekeying: 'Agreeing on new keys…',
  interrupted: 'The connection is interrupted. It comes back by itself.',
  reconnecting: 'The server is away. The picture goes on as soon as it is back.',
  locked: 'This broadcast is for people with a token.',
  stopped: 'Disconnected. Reload the page to come back.',
};

const CURTAIN_WORDS: Partial<Readonly<Record<PageState, string>>> = {
  camera: 'You are about to go live.',
  waiting: 'The stage is free.',
  reconnecting: 'The server is away.',
  locked: 'A token opens this broadcast.',
  stopped: 'This page has stopped.',
};

const HINT_WORDS: Partial<Readonly<Record<PageState, string>>> = {
  rekeying: 'New keys…',
  interrupted: 'Connection interrupted',
  reconnecting: 'Server away',
};

const LIMIT_WORDS: Readonly<Record<NonNullable<QualityNow['limitedBy']>, string>> = {
  cpu: 'as fine as this device manages',
  bandwidth: 'as fine as the network carries',
};

const DEVICE_WORDS: Readonly<Record<CameraProblem, string>> = {
  'camera-denied':
    'The browser was not allowed to use your camera. Allow the camera and the microphone in the address bar, then try again.',
  'camera-missing': 'No camera and no microphone were found. Connect one, then try again.',
  'camera-in-use': 'Another program is using your camera. Close that program, then try again.',
  'camera-insecure': 'Browsers give the camera only to pages opened over https or from localhost.',
  'camera-lost': 'The camera was disconnected. Connect it or choose another one.',
  'camera-failed': 'The camera could not be started. Try again, or choose another one.',
};

const PROBLEM_WORDS: Readonly<Record<Problem, string>> = {
  'camera-denied':
    'The browser was not allowed to use your camera, so you are watching. To broadcast, allow the camera in the address bar and press Broadcast.',
  'camera-missing':
    'No camera was found on this device, so you are watching. Connect one and press Broadcast.',
  'camera-in-use':
    'Another program is using your camera, so you are watching. Close that program and press Broadcast.',
  'camera-insecure': 'Browsers give the camera only to pages opened over https or from localhost.',
  'camera-lost': 'Your camera was disconnected, so the broadcast has ended.',
  'camera-failed': 'Your camera could not be started, so you are watching. Press Broadcast to try again.',
  'broadcaster-present': 'Somebody else is broadcasting already.',
  'room-full': 'The room is full. Trying again in a moment.',
  'too-many-visits':
    'This page is open as often as one address may have it. Close another one; trying again in a moment.',
  'shutting-down':
    'This server is being taken out of service and takes nobody new. Trying again in a moment, when there may be another one.',
  'token-required': 'Enter the token that you were given, or open the link that has it.',
  'token-refused': 'This token is not good here. Enter the one that you were given.',
  'token-expired': 'This token has expired. Ask for a new one where you got it, and enter it.',
  'publish-forbidden': 'Your token is for watching. To broadcast, enter one that allows it.',
  'rate-limited': 'That was a little fast. Try again in a moment.',
  superseded: 'This visit goes on in another window.',
  left: 'You have left.',
  unreachable:
    'No picture or sound could be exchanged with the server. A firewall may be in the way (UDP). Trying again in a minute.',
  refused: 'The server did not understand this page. Reloading it may help.',
};
