import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { metricsOf } from '../../../src/observability/metrics.ts';
import { ROOT } from '../../support/process.ts';
import { metricNames, promtool } from '../../support/promtool.ts';
import { serverFactsOf } from '../../support/server-facts.ts';
import { testDirectory } from '../../support/test-directory.ts';

const RULES = join(ROOT, 'docs/prometheus/rekeycast.rules.yml');
const OPERATIONS = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
const DAY = 86_400;

interface Alert {
  readonly alert: string;
  readonly expr: string;
}

/** Series by name and labels, in promtool's notation: a sample every 15 s, half an hour of them unless it says otherwise. */
type Series = Readonly<Record<string, string>>;

interface Scene {
  readonly fires: Series;
  /** Nearly as bad, and no reason to wake anybody. */
  readonly quiet: Series;
  /** When to look: after half an hour. */
  readonly at?: string;
}

const STEADY = 'x120';
const steady = (value: number | string): string => `${value}${STEADY}`;
const growing = (by: number): string => `0+${by}${STEADY}`;
/** A timestamp that was `age` seconds ago half an hour after the beginning, which is at 0. */
const writtenBefore = (age: number): string => `${1_800 - age}+0${STEADY}`;

const handshakes = (failed: number): Series => ({
  'rekeycast_handshake_failures_total{reason="timeout"}': growing(failed),
  'rekeycast_rekey_duration_seconds_count{way="first"}': growing(10),
});
const took = (slow: number): Series => ({
  'rekeycast_rekey_duration_seconds_bucket{way="in-place",le="1"}': growing(100 - slow),
  'rekeycast_rekey_duration_seconds_bucket{way="in-place",le="5"}': growing(100),
  'rekeycast_rekey_duration_seconds_bucket{way="in-place",le="+Inf"}': growing(100),
  'rekeycast_rekey_duration_seconds_bucket{way="first",le="1"}': growing(0),
  'rekeycast_rekey_duration_seconds_bucket{way="first",le="+Inf"}': growing(1_000),
});
const wrote = (slow: number): Series => ({
  'rekeycast_snapshot_write_duration_seconds_bucket{kind="media",le="0.01"}': growing(1_000 - slow),
  'rekeycast_snapshot_write_duration_seconds_bucket{kind="media",le="0.1"}': growing(1_000),
  'rekeycast_snapshot_write_duration_seconds_bucket{kind="media",le="+Inf"}': growing(1_000),
});
const late = (turns: number): Series => ({
  'rekeycast_event_loop_delay_seconds_bucket{le="0.1"}': growing(1_000 - turns),
  'rekeycast_event_loop_delay_seconds_bucket{le="1"}': growing(1_000),
  'rekeycast_event_loop_delay_seconds_bucket{le="+Inf"}': growing(1_000),
});
const media = (lost: number): Series => ({
  rekeycast_media_packets_unrepaired_total: growing(lost),
  'rekeycast_media_packets_total{direction="in"}': growing(1_000),
  'rekeycast_media_packets_total{direction="out"}': growing(1_000_000),
});
const reported = (bad: number): Series => ({
  'rekeycast_viewer_loss_ratio_bucket{le="0.05"}': growing(1_000 - bad),
  'rekeycast_viewer_loss_ratio_bucket{le="+Inf"}': growing(1_000),
  rekeycast_viewer_loss_ratio_count: growing(1_000),
});
const drops = (each: number, arrived: number): Series => ({
  'rekeycast_drops_total{engine="srtp",reason="replayed"}': growing(each),
  'rekeycast_drops_total{engine="server",reason="unknown peer"}': growing(each),
  'rekeycast_udp_datagrams_total{direction="in"}': growing(arrived),
});
const resumed = (waiting: number): Series => ({
  'rekeycast_resume_sessions{fate="waiting"}': steady(waiting),
  'rekeycast_resume_sessions{fate="rekeyed"}': steady(100 - waiting),
  'rekeycast_resume_sessions{fate="gone"}': steady(0),
});

const visitors = (count: number): Series => ({
  'rekeycast_sessions{role="viewer",state="live",key_age="under-1h"}': steady(count - 10),
  'rekeycast_sessions{role="viewer",state="resumed",key_age="none"}': steady(10),
  rekeycast_sessions_limit: steady(100),
});

const SCENES: Readonly<Record<string, Scene>> = {
  RekeycastDown: { fires: { up: steady(0) }, quiet: { up: `1x110 0 0 0 1x5` } },
  RekeycastNotReady: {
    fires: { rekeycast_ready: steady(0), rekeycast_draining: steady(0) },
    quiet: { rekeycast_ready: steady(0), rekeycast_draining: steady(1) },
  },
  RekeycastRestarting: {
    fires: { process_start_time_seconds: '1x100 2 3 4 5 6x20' },
    quiet: { process_start_time_seconds: '1x100 2 3 4x20' },
  },
  RekeycastStaleKeys: {
    fires: { rekeycast_stale_key_age_seconds: steady(61) },
    quiet: { rekeycast_stale_key_age_seconds: steady(5) },
  },
  RekeycastProtectFailures: {
    fires: { rekeycast_protect_failures_total: '0x110 1x10' },
    quiet: { rekeycast_protect_failures_total: steady(7) },
  },
  RekeycastFull: { fires: visitors(95), quiet: visitors(85) },
  RekeycastResumeStuck: { fires: resumed(21), quiet: resumed(20) },
  RekeycastHandshakesFail: { fires: handshakes(3), quiet: handshakes(1) },
  RekeycastRekeySlow: { fires: took(20), quiet: took(5) },
  RekeycastSnapshotOld: {
    fires: {
      'rekeycast_snapshot_written_timestamp_seconds{kind="media"}': writtenBefore(100),
      'rekeycast_snapshot_written_timestamp_seconds{kind="identity"}': writtenBefore(200),
    },
    quiet: {
      // Whole while it is fresh: each sample is as old as the last write.
      'rekeycast_snapshot_written_timestamp_seconds{kind="media"}': `-1+15${STEADY}`,
      'rekeycast_snapshot_written_timestamp_seconds{kind="identity"}': `-10+15${STEADY}`,
    },
  },
  RekeycastSnapshotWriteFailures: {
    fires: { 'rekeycast_snapshot_write_failures_total{kind="media"}': '0x110 1x10' },
    quiet: { 'rekeycast_snapshot_write_failures_total{kind="media"}': steady(3) },
  },
  RekeycastSnapshotSlow: { fires: wrote(40), quiet: wrote(5) },
  RekeycastSnapshotKeyOld: {
    fires: { rekeycast_snapshot_key_created_timestamp_seconds: writtenBefore(91 * DAY) },
    quiet: { rekeycast_snapshot_key_created_timestamp_seconds: writtenBefore(89 * DAY) },
  },
  RekeycastRotationUnfinished: {
    fires: { rekeycast_snapshot_keys_former: '1x320' },
    quiet: { rekeycast_snapshot_keys_former: '1x200 0x120' },
    at: '75m',
  },
  RekeycastCertificateOld: {
    fires: { rekeycast_certificate_created_timestamp_seconds: writtenBefore(101 * DAY) },
    quiet: { rekeycast_certificate_created_timestamp_seconds: writtenBefore(91 * DAY) },
  },
  RekeycastMediaLoss: { fires: media(25), quiet: media(15) },
  RekeycastViewersLosePackets: { fires: reported(300), quiet: reported(200) },
  RekeycastDrops: { fires: drops(150, 1_000), quiet: drops(50, 1_000) },
  RekeycastEventLoopSlow: { fires: late(30), quiet: late(5) },
  RekeycastFilesRunOut: {
    fires: { process_open_fds: steady(900), process_max_fds: steady(1_024) },
    quiet: { process_open_fds: steady(700), process_max_fds: steady(1_024) },
  },
};

const root = testDirectory();
const alerts = (parse(readFileSync(RULES, 'utf8')) as { groups: { rules: Alert[] }[] }).groups.flatMap(
  ({ rules }) => rules,
);
const names = new Set(
  metricsOf(serverFactsOf()).flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

describe('the alert rules', () => {
  it('are accepted by promtool', () => {
    expect(promtool(['check', 'rules', RULES])).toMatchObject({ ok: true });
  });

  it('speak of metrics that there are', () => {
    for (const { alert, expr } of alerts) {
      const unknown = metricNames(expr).filter((name) => name !== 'up' && !names.has(name));
      expect({ alert, unknown }).toEqual({ alert, unknown: [] });
    }
  });

  it('are explained to the operator, each of them and no other', () => {
    const explained = [...OPERATIONS.matchAll(/^\| `(Rekeycast\w+)`/gm)].map(([, name]) => name);
    expect(explained.sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it('have all been seen to fire, and to keep quiet', { timeout: 60_000 }, () => {
    expect(Object.keys(SCENES).sort()).toEqual(alerts.map(({ alert }) => alert).sort());
    expect(testRules(SCENES)).toMatchObject({ ok: true });
  });

  it('would be found out: promtool sees an alert that does not fire, and one that fires for nothing', () => {
    const { RekeycastStaleKeys: stale } = SCENES;
    const turned = { RekeycastStaleKeys: { fires: stale!.quiet, quiet: stale!.fires } };
    const { ok, said } = testRules(turned);
    expect(ok).toBe(false);
    expect(said.match(/alertname="RekeycastStaleKeys"/g)!.length).toBeGreaterThanOrEqual(2);
  });
});

/** Has promtool play each scene, half an hour in the time of nobody. */
function testRules(scenes: Readonly<Record<string, Scene>>) {
  const tests = Object.entries(scenes).flatMap(([alert, { fires, quiet, at = '30m' }]) => {
    const expr = `count by (alertname) (ALERTS{alertname="${alert}",alertstate="firing"}) > bool 0`;
    const play = (series: Series, samples: readonly unknown[]) => ({
      interval: '15s',
      input_series: Object.entries(series).map(([name, values]) => ({ series: onServer(name), values })),
      promql_expr_test: [{ expr, eval_time: at, exp_samples: samples }],
    });
    return [play(fires, [{ labels: `{alertname="${alert}"}`, value: 1 }]), play(quiet, [])];
  });
  const file = join(root.path, 'alerts.json');
  writeFileSync(file, JSON.stringify({ rule_files: [RULES], evaluation_interval: '15s', tests }));
  return promtool(['test', 'rules', file]);
}

function onServer(series: string): string {
  const [, name, labels] = /^(\w+)(?:\{(.*)\})?$/.exec(series)!;
  return `${name}{job="rekeycast",instance="live:9464"${labels === undefined ? '' : `,${labels}`}}`;
}
