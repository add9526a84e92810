import { describe, expect, it } from 'vitest';
import { writeExposition } from '../../../src/observability/exposition.ts';
import { serverFacts } from '../../../src/observability/facts.ts';
import { metricsOf } from '../../../src/observability/metrics.ts';
import { promtool } from '../../support/promtool.ts';
import { serverFactsOf } from '../../support/server-facts.ts';

const text = (...changes: Parameters<typeof serverFactsOf>) =>
  writeExposition(metricsOf(serverFactsOf(...changes)));
const lines = (...changes: Parameters<typeof serverFactsOf>) => text(...changes).split('\n');

describe('the metrics', () => {
  it('are named and typed as Prometheus expects: promtool finds nothing', () => {
    expect(promtool(['check', 'metrics'], text())).toEqual({ ok: true, said: '' });
  });

  it('would be found out: promtool sees a name that is not as it should be', () => {
    const broken = text().replaceAll('rekeycast_consent_lost_total', 'rekeycast_consent_lostMilliseconds');
    expect(promtool(['check', 'metrics'], broken).ok).toBe(false);
  });

  it('are in base units', () => {
    expect(lines()).toEqual(
      expect.arrayContaining([
        'rekeycast_sessions{role="viewer",state="live",key_age="under-10m"} 310',
        'rekeycast_sessions_by_epoch{epoch="2-7"} 3',
        'rekeycast_viewer_loss_ratio_bucket{le="0.05"} 980',
        'rekeycast_viewer_round_trip_seconds_bucket{le="0.5"} 990',
        'rekeycast_viewer_round_trip_seconds_sum 60',
        'rekeycast_key_age_max_seconds 720',
        'rekeycast_resume_gap_seconds 0.34',
        'rekeycast_resume_sessions{fate="waiting"} 0',
        'rekeycast_rekeys_started_total{reason="resume",way="in-place"} 290',
        'rekeycast_rekey_duration_seconds_bucket{way="in-place",le="0.01"} 7',
        'rekeycast_rekey_duration_seconds_sum{way="in-place"} 0.5',
        'rekeycast_rekey_round_trips_bucket{way="in-place",le="10"} 7',
        'rekeycast_drops_total{engine="server",reason="unknown peer"} 8',
        'rekeycast_handshake_failures_total{reason="timeout"} 6',
        'rekeycast_snapshot_written_timestamp_seconds{kind="media"} 1799999999.9',
        'rekeycast_snapshot_key_info{key_id="9f00c1d2e3a4b5c6"} 1',
        'rekeycast_build_info{version="0.1.0",node="v20.20.0"} 1',
        'rekeycast_media_packets_total{direction="out"} 24000000',
      ]),
    );
  });

  it('leave out what there is not: no media snapshot, no date of the key', () => {
    const { snapshots, key } = serverFactsOf();
    const found = lines({
      snapshots: { identity: snapshots.identity },
      key: { ...key, createdAt: undefined },
    });
    expect(found.filter((line) => line.includes('kind="media"'))).toEqual([]);
    expect(found.filter((line) => line.startsWith('rekeycast_snapshot_key_created'))).toEqual([]);
  });

  it('tell of the worker that has not answered for longest, where there are workers', () => {
    const worker = { number: 1, udpPort: 8_081, sessions: 3, silentMs: 250 };
    const workers = [worker, { ...worker, number: 2, silentMs: 4_500 }];
    expect(lines({ workers })).toContain('rekeycast_worker_silence_max_seconds 4.5');
    expect(lines().filter((line) => /^rekeycast_worker_silence/.test(line))).toEqual([]);
  });

  it('have each a name of its own', () => {
    const names = metricsOf(serverFactsOf()).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('are made of what the command reads, too', () => {
    expect(serverFacts.parse(JSON.parse(JSON.stringify(serverFactsOf())))).toEqual(serverFactsOf());
    expect(serverFacts.safeParse({ ...serverFactsOf(), now: 'soon' }).success).toBe(false);
  });
});
