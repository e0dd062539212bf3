//! The latest value of every metric as Prometheus text. Separate because it has its own names and units: base units
//! (seconds, bytes), `_total` for counters, what is measured in front.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lens_core::recorder::SeriesReference;
use lens_core::{MetricKind, Timestamp, Unit};

/// The media type of the format.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric of `list` that was still recorded at `now`, grouped by name as the format wants it.
pub(super) fn text(list: &[SeriesReference], now: Timestamp) -> String {
    let mut families: BTreeMap<String, Vec<(&SeriesReference, Option<&str>)>> = BTreeMap::new();
    for series in list.iter().filter(|series| !series.is_stale(now)) {
        let (metric, label) = match series.name.split_once('[') {
            Some((metric, label)) => (metric, label.strip_suffix(']')),
            None => (series.name.as_str(), None),
        };
        families.entry(family(metric, series)).or_default().push((series, label));
    }
    let mut text = String::new();
    for (name, members) in families {
        let Some((first, _)) = members.first() else { continue };
        let kind = if first.kind == MetricKind::Counter { "counter" } else { "gauge" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {}", first.doc.replace('\\', "\\\\").replace('\n', " "));
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (series, label) in members {
            let label = label.map(|label| format!("{{of=\"{}\"}}", escaped(label))).unwrap_or_default();
            let _ = writeln!(text, "{name}{label} {}", in_base_unit(series));
        }
    }
    text
}

/// `runtime.busy_ms_total` becomes `lens_runtime_busy_seconds_total`.
fn family(metric: &str, series: &SeriesReference) -> String {
    let plain = metric.replace('.', "_");
    let stem = plain.strip_suffix("_total").unwrap_or(&plain);
    let stem = match series.unit {
        Unit::Milliseconds => format!("{}_seconds", stem.strip_suffix("_ms").unwrap_or(stem)),
        _ => stem.to_owned(),
    };
    let total = if series.kind == MetricKind::Counter { "_total" } else { "" };
    format!("lens_{stem}{total}")
}

fn in_base_unit(series: &SeriesReference) -> f64 {
    match series.unit {
        Unit::Milliseconds => series.latest / 1e3,
        _ => series.latest,
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use lens_core::metric::Direction;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_000_000);

    fn series(name: &str, kind: MetricKind, unit: Unit, latest: f64) -> SeriesReference {
        SeriesReference {
            name: name.to_owned(),
            doc: "A doc.".to_owned(),
            kind,
            unit,
            bad: Direction::Neutral,
            latest,
            latest_at: NOW,
            interval_s: None,
        }
    }

    #[test]
    fn names_and_units_are_those_of_the_format() {
        let list = [
            series("runtime.busy_ratio[a/0]", MetricKind::Ratio, Unit::Ratio, 0.5),
            series("runtime.busy_ratio[a\"/1]", MetricKind::Ratio, Unit::Ratio, 0.25),
            series("lens.cpu_ms_total", MetricKind::Counter, Unit::Milliseconds, 1500.0),
            series("tasks.polls_total", MetricKind::Counter, Unit::Count, 7.0),
        ];
        assert_eq!(
            text(&list, NOW),
            "# HELP lens_lens_cpu_seconds_total A doc.\n\
             # TYPE lens_lens_cpu_seconds_total counter\n\
             lens_lens_cpu_seconds_total 1.5\n\
             # HELP lens_runtime_busy_ratio A doc.\n\
             # TYPE lens_runtime_busy_ratio gauge\n\
             lens_runtime_busy_ratio{of=\"a/0\"} 0.5\n\
             lens_runtime_busy_ratio{of=\"a\\\"/1\"} 0.25\n\
             # HELP lens_tasks_polls_total A doc.\n\
             # TYPE lens_tasks_polls_total counter\n\
             lens_tasks_polls_total 7\n"
        );
    }

    #[test]
    fn what_is_not_recorded_any_more_is_left_out() {
        let recorded = |name: &str, interval_s, ago| {
            let mut series = series(name, MetricKind::Gauge, Unit::Count, 1.0);
            series.interval_s = interval_s;
            series.latest_at = NOW.minus(Duration::from_secs(ago));
            series
        };
        let list = [
            recorded("os.fd_count", Some(60), 100),
            recorded("runtime.alive_tasks[ended]", Some(1), 10),
            recorded("runtime.alive_tasks[lives]", Some(1), 2),
            recorded("waits.waiting", Some(1), 10),
        ];
        let text = text(&list, NOW);
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(values, ["lens_os_fd_count 1", "lens_runtime_alive_tasks{of=\"lives\"} 1"]);
        assert!(!text.contains("waits"), "there is no family without members: {text}");
    }
}
