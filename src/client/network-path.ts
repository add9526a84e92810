import type { NetworkPath } from './outages.ts';

/** IPv4 and IPv6 (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
const LOOPBACK = /^(127\.|::1$|\[::1\]$)/;

/** The part of the browser's statistics that is read here; they are a map of dictionaries of any kind. */
export type Statistics = ReadonlyMap<string, unknown> | RTCStatsReport;

interface Fields {
  readonly type?: string;
  readonly selectedCandidatePairId?: string;
  readonly currentRoundTripTime?: number;
  readonly localCandidateId?: string;
  readonly remoteCandidateId?: string;
  readonly address?: string;
}

/** How far it is to the server, by the candidate pair in use, or `undefined` where the browser does not know. */
export function pathOf(report: Statistics): NetworkPath | undefined {
  const one = (id: string | undefined): Fields | undefined =>
    id === undefined ? undefined : (report.get(id) as Fields | undefined);
  const transports: Fields[] = [];
  report.forEach((stats: unknown) => {
    if ((stats as Fields).type === 'transport') transports.push(stats as Fields);
  });
  const pair = one(transports[0]?.selectedCandidatePairId);
  if (pair?.currentRoundTripTime === undefined) return undefined;
  const remote = one(pair.remoteCandidateId)?.address;
  const local = one(pair.localCandidateId)?.address;
  const isLocal = remote !== undefined && (LOOPBACK.test(remote) || remote === local);
  return { roundTripMs: pair.currentRoundTripTime * 1_000, local: isLocal };
}
