import type { NetworkPath } from './outages.ts';

/** IPv4, IPv6 and the name (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3, RFC 6761 §6.3). */
const LOOPBACK = /^(127\.|::1$|\[::1\]$|localhost$)/;

/** Whether a host of this name is the machine that asks. */
export const isThisMachine = (host: string): boolean => LOOPBACK.test(host);

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

/** How far it is to the server at `host`, by the candidate pair in use, or `undefined` where the browser does not know. */
export function pathOf(report: Statistics, host: string): NetworkPath | undefined {
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
  // Browsers hide addresses of their own.
  const isLocal =
    isThisMachine(host) || (remote !== undefined && (isThisMachine(remote) || remote === local));
  return { roundTripMs: pair.currentRoundTripTime * 1_000, local: isLocal };
}
