import type { Millis } from '../util/clock.ts';
import type { ContinuityReading, Mark } from './continuity.ts';
import { lengthOf } from './gaps.ts';
import {
  beyondOf,
  downtimeOf,
  durationOf,
  type NetworkPath,
  type Outage,
  type RekeyWay,
  roundTripsOf,
} from './outages.ts';
import type { SealState } from './seal.ts';

/** The panel in words. */
export interface SealWords {
  readonly title: string;
  readonly text: string;
}

/** A row of the table. */
export interface OutageWords {
  readonly title: string;
  readonly downtime: string;
  readonly stood: string;
  readonly beyond: string;
  readonly keys: string;
  readonly epochs: string;
}

export function describeSeal({ seal, outages }: ContinuityReading): SealWords {
  const { state, certificates, handshake } = seal;
  const away = outages.at(-1)?.restarted === undefined && outages.length > 0;
  if (state === 'not-yet' && away)
    return {
      title: 'The server is away',
      text: 'Whether it is the same one, and whether the keys are new, will be seen when it is back.',
    };
  if (state === 'not-yet' && handshake !== undefined && handshake.ordinal > 1)
    return { title: 'New keys', text: 'Looking at the certificate that came with them.' };
  const words = SEAL_WORDS[state];
  if (state !== 'sealed') return words;
  return certificates.source === 'transport'
    ? words
    : {
        ...words,
        text: 'This browser has agreed on new keys and held the server to a certificate that was announced as the same as before. It does not show the certificate to the page.',
      };
}

const SEAL_WORDS: Readonly<Record<SealState, SealWords>> = {
  'not-yet': {
    title: 'First keys',
    text: 'The seal comes with the next restart or the next keys. There is nothing to compare yet.',
  },
  'keys-pending': {
    title: 'Keys not replaced yet',
    text: 'The server is back, with the certificate of before so far. This browser has not seen new keys being agreed on.',
  },
  sealed: {
    title: 'Same server, new keys',
    text: 'Seen by this browser, not told by the server: a new handshake, and in it the same certificate as when you came.',
  },
  unknown: {
    title: 'New keys',
    text: 'This browser has agreed on new keys, and does not let the page compare the certificate.',
  },
  changed: {
    title: 'Another certificate',
    text: 'The server shows another certificate than when you came. Unless its operator has replaced it, somebody else may be answering in its place.',
  },
};

/** `now`, and since when the picture has been standing, are for one that is not over. */
export function describeOutage(outage: Outage, now: Millis, standingSince?: Millis): OutageWords {
  const { restarted, epochBefore, rekey, unwatched } = outage;
  const after = rekey?.epoch;
  const isOver = restarted !== undefined && standingSince === undefined;
  const stands = standingSince === undefined || unwatched ? stood(outage) : soFar(now - standingSince);
  return {
    title: restarted === false ? 'Connection lost' : restarted ? 'Server restarted' : 'Server away',
    downtime: span(downtimeOf(outage), soFar(now - outage.lostAt)),
    stood: stands,
    beyond: unwatched ? 'not seen' : span(isOver ? beyondOf(outage) : undefined, NOTHING),
    keys: keys(outage),
    epochs: after === undefined ? NOTHING : `${epochBefore ?? NOTHING} → ${after}`,
  };
}

/** "Server gone 1.2 s · picture stood 1.4 s · beyond 200 ms · new keys in 34 ms (1.2 round trips)" */
export function summarize(outage: Outage): string {
  const downtime = downtimeOf(outage);
  if (downtime === undefined) return 'Server gone';
  const parts = [
    `${outage.restarted === false ? 'Connection lost for' : 'Server gone'} ${span(downtime, '')}`,
  ];
  const { gap, rekey, unwatched, role } = outage;
  const beyond = beyondOf(outage);
  if (gap !== undefined && !unwatched) {
    parts.push(`${role === 'viewer' ? 'picture stood' : 'connection was down'} ${span(lengthOf(gap), '')}`);
    if (beyond !== undefined) parts.push(`beyond ${span(beyond, '')}`);
  }
  if (rekey !== undefined) parts.push(`new keys in ${keys(outage)}`);
  return parts.join(' · ');
}

/** What somebody is told who does not see the timeline. */
export function describeTimeline(
  outages: readonly Outage[],
  marks: readonly Mark[],
  seconds: number,
): string {
  const inView = `Frames shown in the last ${seconds} seconds.`;
  const keys = marks.filter(({ kind, first }) => kind === 'keys' && !first).length;
  const gone = marks.filter(({ kind }) => kind === 'gone').length;
  const events = [
    gone === 0 ? 'The server was there all the time.' : `The server was gone ${times(gone)}.`,
    ...(keys === 0 ? [] : [`Keys were replaced ${times(keys)}.`]),
  ];
  const latest = outages.at(-1);
  const last = latest === undefined ? [] : [`Last outage: ${summarize(latest).replaceAll(' · ', ', ')}.`];
  return [inView, ...events, ...last].join(' ');
}

export const describeMark = ({ kind, first }: Mark): string => (first ? 'first keys' : MARK_WORDS[kind]);

const MARK_WORDS: Readonly<Record<Mark['kind'], string>> = {
  gone: 'server gone',
  back: 'server back',
  media: 'media resumed',
  keys: 'keys replaced',
};

/** `9A34 1DB5 … 4BF2` of a fingerprint in hex. */
export function shortFingerprint(sha256: string): string {
  const groups = groupsOf(sha256);
  return groups.length <= 4 ? groups.join(' ') : `${groups[0]} ${groups[1]} … ${groups.at(-1)}`;
}

/** As certificates are shown everywhere: `9A:34:1D:…`. */
export const wholeFingerprint = (sha256: string): string =>
  (sha256.match(/../g) ?? []).join(':').toUpperCase();

export function span(ms: number | undefined, otherwise: string): string {
  if (ms === undefined) return otherwise;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const NOTHING = '–';

const WAY_WORDS: Readonly<Record<RekeyWay, string>> = {
  'in-place': 'in place',
  'second-connection': 'on a second connection',
  anew: 'in a new session',
};

function stood({ gap, unwatched, role, restarted }: Outage): string {
  if (unwatched) return 'not seen';
  if (restarted === undefined) return NOTHING;
  if (role === 'viewer') return span(gap && lengthOf(gap), NOTHING);
  return gap === undefined ? 'connection stayed up' : `connection down ${span(lengthOf(gap), NOTHING)}`;
}

function keys(outage: Outage): string {
  const { rekey, path } = outage;
  if (rekey === undefined) return NOTHING;
  const trips = roundTripsOf(outage);
  const known = trips === undefined ? tooNear(path) : `${trips.toFixed(1)} round trips`;
  const measured = known === undefined ? '' : ` (${known})`;
  return `${span(durationOf(rekey), NOTHING)}${measured}, ${WAY_WORDS[rekey.way]}`;
}

function tooNear(path: NetworkPath | undefined): string | undefined {
  if (path === undefined) return undefined;
  return path.local ? 'on this machine: no round trips' : 'too near to count round trips';
}

const soFar = (ms: number): string => `${span(ms, NOTHING)} so far`;

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);
const groupsOf = (hex: string): string[] => hex.toUpperCase().match(/.{1,4}/g) ?? [];
