import type { Facts, PageState, Problem } from './facts.ts';

/** What the page says, in words for people who have never heard of DTLS. */
export function describeState(facts: Facts): string {
  if (facts.state === 'live' && facts.role === 'broadcaster') return 'You are live.';
  return STATE_WORDS[facts.state];
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
