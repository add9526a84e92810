import type { HistogramCounts } from '../util/histogram.ts';
import type { MetricFamily, Sample } from './exposition.ts';
import { type ServerFacts, SNAPSHOT_KINDS, type SnapshotFacts } from './facts.ts';

type Counts = Readonly<Record<string, number>>;

/** The server's facts as Prometheus's metrics: base units, `rekeycast_` before what is ours. */
export function metricsOf(facts: ServerFacts): readonly MetricFamily[] {
  return [
    ...serverMetrics(facts),
    ...sessionMetrics(facts),
    ...rekeyMetrics(facts),
    ...mediaMetrics(facts),
    ...viewerMetrics(facts),
    ...snapshotMetrics(facts),
    ...processMetrics(facts),
  ];
}

function serverMetrics({ version, node, ready, drain, pages, drops, workers }: ServerFacts): MetricFamily[] {
  return [
    gauge('rekeycast_build_info', 'What runs here.', [{ labels: { version, node }, value: 1 }]),
    gauge('rekeycast_ready', 'Whether visitors are served: 1 or 0.', one(Number(ready))),
    gauge('rekeycast_draining', 'Whether nobody new is let in: 1 or 0.', one(Number(drain !== undefined))),
    gauge('rekeycast_pages', 'Pages with an open WebSocket.', one(pages)),
    gauge(
      'rekeycast_worker_silence_max_seconds',
      'For how long a worker has owed a sign of life, at most. Absent without WORKERS.',
      seconds(workers && Math.max(0, ...workers.map(({ silentMs }) => silentMs))),
    ),
    counter(
      'rekeycast_drops_total',
      'Datagrams, packets, requests and messages that were dropped.',
      Object.entries(drops).map(([key, value]) => {
        const [engine = '', reason = ''] = key.split(': ');
        return { labels: { engine, reason }, value };
      }),
    ),
  ];
}

function sessionMetrics({ sessions, stale, resume }: ServerFacts): MetricFamily[] {
  return [
    gauge(
      'rekeycast_sessions',
      'Visitors by role, by where their keys stand and by the age of their keys.',
      sessions.groups.map(({ role, state, keyAge, count }) => ({
        labels: { role, state, key_age: keyAge },
        value: count,
      })),
    ),
    gauge(
      'rekeycast_sessions_limit',
      'As many visitors as there may be (MAX_SESSIONS).',
      one(sessions.limit),
    ),
    gauge('rekeycast_sessions_away', 'Visitors whose page is not connected.', one(sessions.away)),
    gauge(
      'rekeycast_sessions_by_epoch',
      'Visitors by how often the keys of their session have changed.',
      by('epoch', sessions.byEpoch),
    ),
    gauge(
      'rekeycast_key_epoch_max',
      'How often the keys of a session have changed, at most.',
      one(sessions.highestEpoch),
    ),
    gauge(
      'rekeycast_key_age_max_seconds',
      'Age of the oldest fresh session keys in use.',
      seconds(sessions.oldestKeyMs),
    ),
    counter('rekeycast_sessions_opened_total', 'Visitors who joined.', by('role', sessions.opened)),
    counter(
      'rekeycast_sessions_resumed_total',
      'Pages that came back to their session.',
      by('role', sessions.resumed),
    ),
    counter('rekeycast_sessions_closed_total', 'Sessions that ended.', by('role', sessions.closed)),
    counter(
      'rekeycast_tokens_refused_total',
      'Resume tokens that were unknown, expired or used.',
      one(sessions.tokensRefused),
    ),
    counter(
      'rekeycast_consent_lost_total',
      'Connections whose browser showed no sign of life any more.',
      one(sessions.consentLost),
    ),
    gauge(
      'rekeycast_stale_connections',
      'Connections on the keys of an earlier process.',
      one(stale.connections),
    ),
    gauge(
      'rekeycast_stale_key_age_seconds',
      'For how long the keys of an earlier process have been in use here.',
      seconds(stale.ageMs),
    ),
    gauge('rekeycast_resume_sessions', 'Sessions that this process has found, by what became of them.', [
      { labels: { fate: 'rekeyed' }, value: resume.rekeyed },
      { labels: { fate: 'gone' }, value: resume.gone },
      { labels: { fate: 'waiting' }, value: resume.found - resume.rekeyed - resume.gone },
    ]),
    gauge(
      'rekeycast_resume_gap_seconds',
      'From the last snapshot of the process before to the first media packet of this one.',
      seconds(resume.gapMs),
    ),
  ];
}

function rekeyMetrics({ rekeys }: ServerFacts): MetricFamily[] {
  return [
    counter(
      'rekeycast_rekeys_started_total',
      'Offers of new keys, by reason and way.',
      Object.entries(rekeys.started).map(([key, value]) => {
        const [reason = '', way = ''] = key.split(' ');
        return { labels: { reason, way }, value };
      }),
    ),
    histogram(
      'rekeycast_rekey_duration_seconds',
      'From an offer to new keys, by way.',
      byWay(rekeys.durationMs, inSeconds),
    ),
    histogram(
      'rekeycast_rekey_round_trips',
      'The same in round trips of the connection.',
      byWay(rekeys.roundTrips, asIs),
    ),
    histogram('rekeycast_stale_key_end_seconds', 'From an offer to the end of the keys before.', [
      { value: inSeconds(rekeys.staleKeysMs) },
    ]),
    counter(
      'rekeycast_keys_destroyed_total',
      'Sets of session keys that were wiped, by what ended them.',
      by('by', rekeys.keysDestroyed),
    ),
    counter(
      'rekeycast_handshake_failures_total',
      'DTLS handshakes that ended without keys.',
      by('reason', rekeys.handshakeFailures),
    ),
  ];
}

function mediaMetrics({ traffic, room }: ServerFacts): MetricFamily[] {
  const ways = (received: number, sent: number): Sample[] => [
    { labels: { direction: 'in' }, value: received },
    { labels: { direction: 'out' }, value: sent },
  ];
  return [
    counter(
      'rekeycast_udp_datagrams_total',
      'Datagrams of the UDP socket.',
      ways(traffic.datagramsIn, traffic.datagramsOut),
    ),
    counter(
      'rekeycast_udp_bytes_total',
      'Payload bytes of the UDP socket.',
      ways(traffic.bytesIn, traffic.bytesOut),
    ),
    gauge(
      'rekeycast_on_air',
      'Whether somebody holds the broadcaster’s place: 1 or 0.',
      one(Number(room.onAir)),
    ),
    counter(
      'rekeycast_media_packets_total',
      'RTP packets from the broadcaster, and to viewers.',
      ways(room.packetsIn, traffic.mediaOut),
    ),
    counter(
      'rekeycast_media_packets_forwarded_total',
      'RTP packets of the room, each counted once.',
      one(room.packetsOut),
    ),
    counter(
      'rekeycast_media_packets_lost_total',
      'RTP packets of the broadcaster that did not come by themselves.',
      one(room.lost),
    ),
    counter(
      'rekeycast_media_packets_recovered_total',
      'Of those, the ones that came when they were asked for.',
      one(room.recovered),
    ),
    counter(
      'rekeycast_media_packets_unrepaired_total',
      'Of those, the ones that were given up.',
      one(room.unrepaired),
    ),
    counter(
      'rekeycast_media_packets_nacked_total',
      'RTP packets that the broadcaster was asked for again, behind its re-key also those that there may have been.',
      one(room.nacked),
    ),
    counter(
      'rekeycast_media_packets_retransmitted_total',
      'RTP packets that viewers asked for again and got.',
      one(room.retransmitted),
    ),
    counter(
      'rekeycast_media_packets_resent_total',
      'RTP packets sent again behind a re-key.',
      one(room.resent),
    ),
    counter(
      'rekeycast_keyframe_requests_total',
      'Keyframes asked of the broadcaster.',
      one(room.keyframeRequests),
    ),
    counter(
      'rekeycast_protect_failures_total',
      'Media packets that could not be protected.',
      one(traffic.protectFailed),
    ),
    gauge('rekeycast_history_bytes', 'Media kept for retransmission.', one(room.historyBytes)),
  ];
}

function viewerMetrics({ viewers }: ServerFacts): MetricFamily[] {
  return [
    histogram(
      'rekeycast_viewer_loss_ratio',
      'Share of packets that viewers report as lost, before repair; one value for each report.',
      [{ value: viewers.lossRatio }],
    ),
    histogram('rekeycast_viewer_round_trip_seconds', 'Round trips to viewers, from their reports.', [
      { value: inSeconds(viewers.roundTripMs) },
    ]),
  ];
}

function snapshotMetrics({ snapshots, key, certificate }: ServerFacts): MetricFamily[] {
  const each = (value: (facts: SnapshotFacts) => Sample['value']): Sample[] =>
    SNAPSHOT_KINDS.flatMap((kind) => {
      const found = snapshots[kind];
      return found === undefined ? [] : [{ labels: { kind }, value: value(found) }];
    });
  return [
    gauge(
      'rekeycast_snapshot_written_timestamp_seconds',
      'When the snapshot was written last.',
      each(({ writtenAt }) => writtenAt && writtenAt / 1000),
    ),
    gauge(
      'rekeycast_snapshot_bytes',
      'Size of the snapshot.',
      each(({ bytes }) => bytes),
    ),
    histogram(
      'rekeycast_snapshot_write_duration_seconds',
      'How long writing it took.',
      each(({ writeMs }) => inSeconds(writeMs)),
    ),
    counter(
      'rekeycast_snapshot_write_failures_total',
      'Snapshots that could not be written.',
      each(({ failures }) => failures),
    ),
    gauge('rekeycast_snapshot_key_info', 'The key that snapshots are sealed to.', [
      { labels: { key_id: key.id }, value: 1 },
    ]),
    gauge(
      'rekeycast_snapshot_key_created_timestamp_seconds',
      'When it was made; absent where others keep the keys.',
      one(key.createdAt && key.createdAt / 1000),
    ),
    gauge(
      'rekeycast_snapshot_keys_former',
      'Former primary keys that are not destroyed: a rotation is not finished.',
      one(key.former),
    ),
    gauge(
      'rekeycast_certificate_created_timestamp_seconds',
      'When the DTLS certificate was made.',
      seconds(certificate.createdAt),
    ),
  ];
}

/** What does not begin with our name is called so by every exporter. */
function processMetrics({ eventLoopDelayMs, process, startedAt }: ServerFacts): MetricFamily[] {
  return [
    histogram('rekeycast_event_loop_delay_seconds', 'How late the event loop came to what was due.', [
      { value: inSeconds(eventLoopDelayMs) },
    ]),
    counter('process_cpu_seconds_total', 'User and system CPU time.', one(process.cpuSeconds)),
    gauge('process_start_time_seconds', 'When the process began.', seconds(startedAt)),
    gauge('process_resident_memory_bytes', 'Resident memory.', one(process.residentBytes)),
    gauge('process_open_fds', 'Open file descriptors.', one(process.openFiles)),
    gauge('process_max_fds', 'As many as there may be.', one(process.maxFiles)),
    gauge('nodejs_heap_size_used_bytes', 'Used heap of the JavaScript engine.', one(process.heapBytes)),
  ];
}

const family =
  (type: MetricFamily['type']) =>
  (name: string, help: string, samples: readonly Sample[]): MetricFamily => ({ name, type, help, samples });
const gauge = family('gauge');
const counter = family('counter');
const histogram = family('histogram');

const one = (value: number | undefined): Sample[] => [{ value }];
const seconds = (ms: number | undefined): Sample[] => one(ms === undefined ? undefined : ms / 1000);

const by = (label: string, counts: Counts): Sample[] =>
  Object.entries(counts).map(([text, value]) => ({ labels: { [label]: text }, value }));

const byWay = (
  histograms: Readonly<Record<string, HistogramCounts>>,
  convert: (histogram: HistogramCounts) => HistogramCounts,
): Sample[] => Object.entries(histograms).map(([way, value]) => ({ labels: { way }, value: convert(value) }));

const asIs = (histogram: HistogramCounts): HistogramCounts => histogram;

const inSeconds = ({ bounds, counts, sum }: HistogramCounts): HistogramCounts => ({
  bounds: bounds.map((bound) => bound / 1000),
  counts,
  sum: sum / 1000,
});
