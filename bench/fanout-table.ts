import { median } from '../test/support/gaps.ts';
import { BYTES, type Measured, type Pace, type Way } from './fanout-ways.ts';

/** The report of `bench/fanout.ts`. */

export type Result = { readonly way: Way; readonly viewers: number; readonly pace: Pace } & (
  | Measured
  | { readonly failed: string }
);
export type Climb = { readonly viewers: number } & Measured;

export interface Report {
  readonly machine: string;
  readonly load: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly repeat: number;
  readonly workers: number;
  readonly results: readonly Result[];
  readonly climbed: readonly Climb[] | undefined;
  readonly aes: readonly string[];
  readonly missing: readonly Way[];
}

/** What a viewer of a good picture gets in a second. */
const PACKETS_PER_SECOND = 250;
const GOALS = { gso: 0.6, dgram: 1.5, viewersPerCore: 1_200 } as const;
const ALL_ARRIVED = 0.995;
const PACE_WORDS: Readonly<Record<Pace['name'], string>> = {
  frames: 'frames of 8 packets, 30 a second',
  singles: 'single packets, 250 a second',
  saturated: 'saturated, frames of 8 packets',
};

/** One row: all that was measured of one way under one load. */
interface Row {
  readonly way: Way;
  readonly ns: number;
  readonly least: number;
  readonly most: number;
  readonly perSecond: number;
  readonly busy: number;
  readonly waited: number;
  readonly arrived: number;
  readonly decrypted: number;
}

export function report(all: Report): string {
  const { results } = all;
  const tables = (['frames', 'singles', 'saturated'] as const).flatMap((pace) =>
    [...new Set(results.map(({ viewers }) => viewers))].flatMap((viewers) => tableOf(results, pace, viewers)),
  );
  const failed = results.flatMap((result) =>
    'failed' in result
      ? [`- ${result.way} with ${result.viewers} viewers: ${result.failed.split('\n')[0]}`]
      : [],
  );
  return [
    ...introduction(all),
    ...noise(results),
    ...goals(all),
    ...tables,
    ...climbTable(all.climbed),
    ...(failed.length === 0 ? [] : ['### What did not run', '', ...failed, '']),
  ].join('\n');
}

/** From such a share on, a server under measure has waited for a processor too often for its other numbers to be believed. */
const NOISY = 0.1;

/** That the machine did other work. */
function noise(results: readonly Result[]): readonly string[] {
  // Who is taken to its limit shares the machine with its own load.
  const waited = results.flatMap((result) =>
    'failed' in result || result.pace.name === 'saturated' || Number.isNaN(result.waited)
      ? []
      : [result.waited],
  );
  const usual = median(waited);
  if (!(usual > NOISY)) return [];
  return [
    `**The machine was not quiet**: servers waited for a processor for ${Math.round(usual * 100)} % of the time at the median. Shares that arrived, packets a second and the most viewers that are fed say more of that than of the server; nanoseconds are larger than they would be.`,
    '',
  ];
}

function introduction({
  machine,
  load,
  minutes,
  seconds,
  repeat,
  workers,
  aes,
  missing,
}: Report): readonly string[] {
  return [
    `\`npm run bench:fanout\`, ${minutes.toFixed(1)} minutes. ${machine}, load ${load.toFixed(1)} at its end.${workers > 0 ? ` WORKERS=${workers}.` : ''}`,
    '',
    `Nanoseconds of processor time, of all threads of the server, for each packet of ${BYTES.toLocaleString('en')} bytes that arrived at one viewer; AES_CM_128_HMAC_SHA1_80, on loopback. Each way is measured ${repeat === 1 ? 'once' : `${repeat} times in turn`} for ${seconds} s, in windows of two seconds; the median of the windows, the least and the most.`,
    '',
    '- Viewers are processes of ours with real ICE, DTLS and SRTP. Once a second each sends a receiver report with REMB, every five seconds a consent check, and asks for 0.5 % of the packets again.',
    '- Every viewer has a socket of its own with a filter in the kernel: of media it takes each 16th packet (each 64th from 500 viewers on), which the process decrypts; the kernel counts and drops the rest, so that the sender does not pay for waking the receiver, and the receiver is not the limit. All programs and servers below send to such sockets.',
    '- On loopback the sender also pays for the way in, up to that socket, and with GSO for cutting the message. A network card would do the latter.',
    '- `gso`, `sendmmsg`, `dgram`: the whole server, by the way its media leaves. `plain`: the same server without its kernel. `js-loop`: createCipheriv, createHmac and dgram.send a packet, `c-*`: srtp_protect and a system call, and nothing else (`bench/fanout-plain.ts`, `bench/fanout.c`). `debian-*`: the same with libsrtp2 as Debian ships it.',
    `- AES of these programs: ${aes.join('; ') || 'none here'}.${missing.length === 0 ? '' : ` Not to be had here: ${missing.join(', ')} (\`node bench/rivals/prepare.mjs\`).`}`,
    '- `janus` (streaming plugin), `mediasoup` (its worker, one process) and `werift` are other servers, with all their threads, that get the media as plain RTP. `c-*` and `js-loop` receive nothing.',
    '- Busy: of the busiest thread. Waited: the share of the time that it wanted a processor and had none, which tells how quiet the machine was. Arrived: of all that was sent to all viewers, to their sockets.',
    '',
  ];
}

function goals({ results, climbed }: Report): readonly string[] {
  const rows = ([300, 1_000] as const).flatMap((viewers) => {
    const {
      gso,
      dgram,
      'c-sendmmsg': c,
      'debian-sendmmsg': debian,
    } = byWay(rowsOf(results, 'frames', viewers));
    const verdict = (is: number, goal: number, better: boolean): string =>
      Number.isFinite(is)
        ? better
          ? 'met'
          : `missed by ${Math.round(Math.abs(is / goal - 1) * 100)} %`
        : 'not measured';
    const compared = (what: string, row: Row | undefined, to: Row | undefined, goal: number): string => {
      const is = ratio(row, to);
      return `| ${viewers} viewers: ${what} | ≤ ${goal} | ${fixed(is)} | ${verdict(is, goal, is <= goal)} |`;
    };
    const perCore = gso === undefined ? Number.NaN : viewersPerCore(gso);
    return [
      compared('CPU by GSO, × C with libsrtp2 over OpenSSL and sendmmsg', gso, c, GOALS.gso),
      compared('CPU by GSO, × the same with libsrtp2 as Debian ships it', gso, debian, GOALS.gso),
      compared('CPU by dgram, × C with libsrtp2 over OpenSSL and sendmmsg', dgram, c, GOALS.dgram),
      compared('CPU by dgram, × the same with libsrtp2 as Debian ships it', dgram, debian, GOALS.dgram),
      `| ${viewers} viewers: viewers a core, paced, from the processor time | ≥ ${GOALS.viewersPerCore} | ${Number.isFinite(perCore) ? perCore : '-'} | ${verdict(perCore, GOALS.viewersPerCore, perCore >= GOALS.viewersPerCore)} |`,
    ];
  });
  const fed = climbed?.filter(({ arrived }) => arrived >= ALL_ARRIVED).at(-1)?.viewers;
  return [
    '| goal | | is | |',
    '|---|---|---|---|',
    ...rows,
    ...(climbed === undefined
      ? []
      : [
          `| most viewers that one server feeds at 250 single packets a second, ≥ 99.5 % arrived | ≥ ${GOALS.viewersPerCore} | ${fed ?? 'none'} | ${(fed ?? 0) >= GOALS.viewersPerCore ? 'met' : 'missed'} |`,
        ]),
    '',
  ];
}

function tableOf(results: readonly Result[], pace: Pace['name'], viewers: number): readonly string[] {
  const rows = rowsOf(results, pace, viewers);
  if (rows.length === 0) return [];
  const { plain, 'c-sendmmsg': c } = byWay(rows);
  return [
    `### ${viewers} viewers, ${PACE_WORDS[pace]}`,
    '',
    '| way | ns a packet | least – most | × plain | × c-sendmmsg | viewers a core | packets/s | busy | waited | arrived | of the sample decrypted |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...rows.map(
      (row) =>
        `| ${row.way} | ${Math.round(row.ns)} | ${Math.round(row.least)} – ${Math.round(row.most)} | ${fixed(ratio(row, plain))} | ${fixed(ratio(row, c))} | ${viewersPerCore(row)} | ${Math.round(row.perSecond)} | ${fixed(row.busy)} | ${fixed(row.waited)} | ${percent(row.arrived)} | ${percent(row.decrypted)} |`,
    ),
    '',
  ];
}

function climbTable(climbed: readonly Climb[] | undefined): readonly string[] {
  if (climbed === undefined) return [];
  return [
    '### More and more viewers, by GSO, single packets, 250 a second',
    '',
    '| viewers | ns a packet | busy | waited | packets/s | arrived |',
    '|---|---|---|---|---|---|',
    ...climbed.map(
      ({ viewers, nanoseconds, busy, waited, perSecond, arrived }) =>
        `| ${viewers} | ${Math.round(median(nanoseconds))} | ${fixed(busy)} | ${fixed(waited)} | ${Math.round(perSecond)} | ${percent(arrived)} |`,
    ),
    '',
  ];
}

function rowsOf(results: readonly Result[], pace: Pace['name'], viewers: number): readonly Row[] {
  const rows = new Map<Way, Measured[]>();
  for (const result of results) {
    if ('failed' in result || result.pace.name !== pace || result.viewers !== viewers) continue;
    rows.set(result.way, [...(rows.get(result.way) ?? []), result]);
  }
  return [...rows].map(([way, all]) => {
    const each = all.flatMap(({ nanoseconds }) => nanoseconds);
    const of = (what: 'perSecond' | 'busy' | 'waited' | 'arrived' | 'decrypted'): number =>
      median(all.map((one) => one[what]));
    return {
      way,
      ns: median(each),
      least: Math.min(...each),
      most: Math.max(...each),
      perSecond: of('perSecond'),
      busy: of('busy'),
      waited: of('waited'),
      arrived: of('arrived'),
      decrypted: of('decrypted'),
    };
  });
}

const byWay = (rows: readonly Row[]): Partial<Record<Way, Row>> =>
  Object.fromEntries(rows.map((row) => [row.way, row]));
const ratio = (row: Row | undefined, to: Row | undefined): number =>
  (row?.ns ?? Number.NaN) / (to?.ns ?? Number.NaN);
const viewersPerCore = ({ ns }: Row): number => Math.round(1e9 / ns / PACKETS_PER_SECOND);
const fixed = (value: number): string => (Number.isFinite(value) ? value.toFixed(2) : '-');
const percent = (share: number): string => (Number.isFinite(share) ? `${(share * 100).toFixed(1)} %` : '-');
