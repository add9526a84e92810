/** What is sent or received now. Absent: not known, or not yet. */
export interface QualityNow {
  readonly width?: number;
  readonly height?: number;
  readonly framesPerSecond?: number;
  readonly kilobitsPerSecond?: number;
  /** Of the packets since the last look, 0 to 1. */
  readonly loss?: number;
  /** Why the browser sends less than it was asked to. */
  readonly limitedBy?: 'cpu' | 'bandwidth';
}

/** One entry of an `RTCStatsReport`. */
export type StatsEntry = Readonly<Record<string, unknown>>;

interface Counts {
  readonly at: number;
  readonly bytes: number;
  readonly packets: number;
  readonly lost: number;
}

/** Rates from one report of a connection's statistics to the next. */
export class QualityMeter {
  #last: Counts | undefined;

  /** @param entries all of a report */
  read(entries: readonly StatsEntry[]): QualityNow {
    const media = entries.filter(({ type }) => type === 'inbound-rtp' || type === 'outbound-rtp');
    const video = media.find(({ kind }) => kind === 'video');
    const counts = countsOf(media);
    const last = this.#last;
    this.#last = counts;
    // Another connection counts from zero.
    const comparable = last !== undefined && counts.at > last.at && counts.packets >= last.packets;
    return {
      ...pick('width', video?.frameWidth),
      ...pick('height', video?.frameHeight),
      ...pick('framesPerSecond', video?.framesPerSecond),
      ...(comparable && { kilobitsPerSecond: ((counts.bytes - last.bytes) * 8) / (counts.at - last.at) }),
      ...pick('loss', lossOf(entries, comparable ? last : undefined, counts)),
      ...limitOf(video),
    };
  }

  reset(): void {
    this.#last = undefined;
  }
}

function countsOf(media: readonly StatsEntry[]): Counts {
  const sum = (...names: readonly string[]): number =>
    media.reduce((total, entry) => names.reduce((part, name) => part + numberOf(entry[name]), total), 0);
  return {
    at: Math.max(0, ...media.map(({ timestamp }) => numberOf(timestamp))),
    bytes: sum('bytesReceived', 'bytesSent'),
    packets: sum('packetsReceived', 'packetsSent'),
    lost: sum('packetsLost'),
  };
}

/** A viewer counts what it has missed; a broadcaster is told by the server. */
function lossOf(entries: readonly StatsEntry[], last: Counts | undefined, now: Counts): number | undefined {
  const told = entries.find(({ type, kind }) => type === 'remote-inbound-rtp' && kind === 'video');
  if (told !== undefined) return numberOf(told.fractionLost);
  if (last === undefined) return undefined;
  // Packets that come late are taken off the lost ones again.
  const lost = Math.max(0, now.lost - last.lost);
  const expected = lost + now.packets - last.packets;
  return expected === 0 ? undefined : lost / expected;
}

function limitOf(video: StatsEntry | undefined): Pick<QualityNow, 'limitedBy'> {
  const reason = video?.qualityLimitationReason;
  return reason === 'cpu' || reason === 'bandwidth' ? { limitedBy: reason } : {};
}

const pick = <Name extends string>(name: Name, value: unknown): { readonly [_ in Name]?: number } =>
  (typeof value === 'number' && Number.isFinite(value) ? { [name]: value } : {}) as {
    readonly [_ in Name]?: number;
  };

const numberOf = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : 0;
