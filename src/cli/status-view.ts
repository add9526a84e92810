import type { ServerFacts } from '../observability/facts.ts';
import { ageInWords } from '../util/age.ts';
import { boundOf } from '../util/histogram.ts';
import { printable } from '../util/printable.ts';

const BAR = 24;
const LABEL = 11;
/** Reasons that are named; the rest is a number. */
const NAMED_DROPS = 3;
/** A restart is over when everybody is back, or has not come in this time. */
const RESUME_SHOWN_MS = 120_000;
/** A worker that is out of breath may be so late. */
const SILENCE_SHOWN_MS = 2_000;

/** The server as lines of text. Rates are since `before`, of the same process; without one, counts since its start. */
export function statusLines(facts: ServerFacts, before?: ServerFacts): readonly string[] {
  const since =
    before !== undefined && before.pid === facts.pid && before.now < facts.now ? before : undefined;
  return [
    headline(facts),
    ...progressOf(facts),
    row('sessions', sessionWords(facts)),
    ...(facts.workers === undefined ? [] : [row('workers', workerWords(facts.workers))]),
    row('keys', keyWords(facts)),
    row('media', mediaWords(facts, since)),
    row('repair', repairWords(facts, since)),
    row('drops', dropWords(facts, since)),
    row('snapshots', snapshotWords(facts)),
    row('sealed to', sealWords(facts)),
    row('event loop', loopWords(facts, since)),
  ].map(printable);
}

/** The same in one line, for logs and pipes. */
export function statusLine(facts: ServerFacts, before?: ServerFacts): string {
  const since =
    before !== undefined && before.pid === facts.pid && before.now < facts.now ? before : undefined;
  const words = [
    new Date(facts.now).toISOString(),
    stateOf(facts),
    ...progressOf(facts).map((line) => line.trim()),
    sessionWords(facts),
    keyWords(facts),
    mediaWords(facts, since),
    `drops ${dropWords(facts, since)}`,
    `sealed to ${facts.key.id}`,
  ];
  return printable(words.join('; '));
}

const row = (label: string, words: string): string => `  ${label.padEnd(LABEL)} ${words}`;

const stateOf = ({ ready, drain }: ServerFacts): string => {
  if (drain !== undefined) return 'draining';
  return ready ? 'ready' : 'not ready';
};

function headline(facts: ServerFacts): string {
  const up = ageInWords(facts.now - facts.startedAt);
  return `rekeycast ${facts.version}  ${stateOf(facts)}  up ${up}  process ${facts.pid}, Node ${facts.node.replace(/^v/, '')}`;
}

const workerWords = (workers: NonNullable<ServerFacts['workers']>): string =>
  workers
    .map(
      ({ number, udpPort, sessions, silentMs }) =>
        `${number}: ${sessions} ${sessions === 1 ? 'session' : 'sessions'} at UDP port ${udpPort}` +
        (silentMs < SILENCE_SHOWN_MS ? '' : `, SILENT for ${ageInWords(silentMs)}`),
    )
    .join(', ');

/** What is under way and will be over: a bar for each. */
function progressOf(facts: ServerFacts): string[] {
  const { drain, resume, key, now, startedAt } = facts;
  const lines: string[] = [];
  if (drain !== undefined) {
    const ends = drain.endsAt === undefined ? '' : `, ${ageInWords(Math.max(0, drain.endsAt - now))} left`;
    const words = `${drain.left} of ${drain.sessions} sessions are still here${ends}`;
    lines.push(row('drain', `${bar(drain.sessions - drain.left, drain.sessions)} ${words}`));
  }
  const back = resume.rekeyed + resume.gone;
  if (back < resume.found && now - startedAt < RESUME_SHOWN_MS) {
    const words = `${resume.rekeyed} of ${resume.found} have new keys, ${resume.present} pages are back`;
    lines.push(row('resume', `${bar(back, resume.found)} ${words}`));
  }
  if (key.resealing || key.former > 0) {
    const words = key.resealing
      ? 'the new key is primary; the snapshots are being sealed to it'
      : `sealed to the new key; ${key.former} former not destroyed (rekeycast keys status)`;
    lines.push(row('rotation', `${bar(key.resealing ? 1 : 2, 3)} ${words}`));
  }
  return lines;
}

function bar(done: number, all: number): string {
  const full = all === 0 ? BAR : Math.floor((BAR * done) / all);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}]`;
}

function sessionWords({ sessions, room }: ServerFacts): string {
  const count = (wanted: (group: (typeof sessions.groups)[number]) => boolean) =>
    sessions.groups.filter(wanted).reduce((sum, group) => sum + group.count, 0);
  const states = [...new Set(sessions.groups.map(({ state }) => state))].sort();
  const byState = states.map((state) => `${count((group) => group.state === state)} ${state}`);
  const viewers = count(({ role }) => role === 'viewer');
  const away = sessions.away === 0 ? [] : [`${sessions.away} away`];
  const details = [...byState, ...away].join(', ');
  return `${room.onAir ? 'on air' : 'nobody on air'}, ${viewers} viewers${details === '' ? '' : ` (${details})`}`;
}

function keyWords({ sessions, stale }: ServerFacts): string {
  const oldest = sessions.oldestKeyMs === 0 ? 'none yet' : `oldest ${ageInWords(sessions.oldestKeyMs)}`;
  const resumed =
    stale.connections === 0 ? 'none stale' : `${stale.connections} STALE for ${ageInWords(stale.ageMs)}`;
  return `epoch up to ${sessions.highestEpoch}, ${oldest}, ${resumed}`;
}

function mediaWords(facts: ServerFacts, since: ServerFacts | undefined): string {
  const packets = (of: (facts: ServerFacts) => number) => amount(of, facts, since);
  const bytes = (of: (facts: ServerFacts) => number) =>
    since === undefined ? inBytes(of(facts)) : `${inBits(rate(of, facts, since) * 8)}/s`;
  return (
    `in ${packets(({ room }) => room.packetsIn)}, out ${packets(({ traffic }) => traffic.mediaOut)} packets; ` +
    `UDP in ${bytes(({ traffic }) => traffic.bytesIn)}, out ${bytes(({ traffic }) => traffic.bytesOut)}`
  );
}

function repairWords(facts: ServerFacts, since: ServerFacts | undefined): string {
  const packets = (of: (facts: ServerFacts) => number) => amount(of, facts, since);
  return (
    `lost ${packets(({ room }) => room.lost)}, recovered ${packets(({ room }) => room.recovered)}, ` +
    `retransmitted ${packets(({ room }) => room.retransmitted)}, resent ${packets(({ room }) => room.resent)}, ` +
    `keyframes asked ${packets(({ room }) => room.keyframeRequests)}`
  );
}

function dropWords(facts: ServerFacts, since: ServerFacts | undefined): string {
  const total = ({ drops }: ServerFacts) => Object.values(drops).reduce((sum, count) => sum + count, 0);
  const grown = Object.keys(facts.drops)
    .map((reason) => ({ reason, of: ({ drops }: ServerFacts) => drops[reason] ?? 0 }))
    .map(({ reason, of }) => ({ reason, count: of(facts) - (since === undefined ? 0 : of(since)), of }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, NAMED_DROPS)
    .map(({ reason, of }) => `${reason} ${amount(of, facts, since)}`);
  return `${amount(total, facts, since)}${grown.length === 0 ? '' : ` (${grown.join(', ')})`}`;
}

function snapshotWords({ snapshots, now }: ServerFacts): string {
  const kinds = (['identity', 'media'] as const).map((kind) => {
    const found = snapshots[kind];
    if (found === undefined) return `${kind} not kept`;
    const age =
      found.writtenAt === undefined ? 'not yet' : `${ageInWords(Math.max(0, now - found.writtenAt))} ago`;
    const failed = found.failures === 0 ? '' : `, ${found.failures} FAILED`;
    return `${kind} ${age} (${inBytes(found.bytes)}${failed})`;
  });
  return kinds.join(', ');
}

function sealWords({ key, certificate, now }: ServerFacts): string {
  const age = key.createdAt === undefined ? 'kept by others' : `${ageInWords(now - key.createdAt)} old`;
  return `${key.id}, ${age}; certificate ${ageInWords(now - certificate.createdAt)} old`;
}

function loopWords(facts: ServerFacts, since: ServerFacts | undefined): string {
  const { bounds, counts, sum } = facts.eventLoopDelayMs;
  const of = counts.map((count, at) => count - (since?.eventLoopDelayMs.counts[at] ?? 0));
  const late = boundOf({ bounds, counts: of, sum }, 0.99);
  return late === undefined
    ? 'not measured yet'
    : `99 of 100 turns within ${late === Number.POSITIVE_INFINITY ? 'more than 2500' : late} ms`;
}

type Of = (facts: ServerFacts) => number;

const rate = (of: Of, facts: ServerFacts, since: ServerFacts): number =>
  (Math.max(0, of(facts) - of(since)) * 1000) / (facts.now - since.now);

const amount = (of: Of, facts: ServerFacts, since: ServerFacts | undefined): string =>
  since === undefined ? String(of(facts)) : `${Math.round(rate(of, facts, since) * 10) / 10}/s`;

const inBytes = (bytes: number): string => withUnit(bytes, ['B', 'kB', 'MB', 'GB', 'TB']);
const inBits = (bits: number): string => withUnit(bits, ['bit', 'kbit', 'Mbit', 'Gbit', 'Tbit']);

function withUnit(value: number, units: readonly string[]): string {
  const at = Math.min(units.length - 1, value < 1000 ? 0 : Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** at;
  return `${scaled < 10 && at > 0 ? scaled.toFixed(1) : Math.round(scaled)} ${units[at]}`;
}
