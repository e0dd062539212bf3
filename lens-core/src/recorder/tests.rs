//! The rings against values that the tests put in.

use super::*;
use crate::metric::Metric;

static DEPTH: Metric = Metric::gauge("depth", Unit::Count, "Items.");
static DONE: Metric = Metric::counter("done", Unit::Count, "Items done.");

/// A recorder that was given `value(second)` for each of `seconds`.
fn recorded(
    metric: &'static Metric,
    seconds: impl Iterator<Item = u32>,
    value: impl Fn(u32) -> f64,
) -> (Arc<Recorder>, Instant) {
    let recorder = Arc::new(Recorder::new());
    let mut now = recorder.started;
    let mut metrics = Metrics::default();
    for second in seconds {
        now = recorder.started + Duration::from_secs(second.into());
        metrics.clear();
        metrics.record(metric, value(second));
        recorder.record("queue", now, &metrics);
        recorder.tick(now);
    }
    (recorder, now)
}

fn series(recorder: &Arc<Recorder>, now: Instant, name: &str, seconds: u64) -> Series {
    recorder.until(now).series(name, Span::seconds(seconds)).unwrap()
}

#[test]
fn a_window_holds_its_seconds_and_no_more() {
    let (recorder, now) = recorded(&DEPTH, 0..100, f64::from);
    let ten = series(&recorder, now, "queue.depth", 10);
    assert_eq!(ten.points.len(), 10);
    assert_eq!((ten.min(), ten.max(), ten.last()), (90.0, 99.0, 99.0));
    assert_eq!(ten.mean(), 94.5);
    assert_eq!(ten.quantile(0.5), 94.5);
    assert_eq!(ten.quantile(1.0), 99.0);
    assert_eq!(ten.slope_per_s(), Some(1.0));
    assert_eq!(ten.points[0].at, recorder.started_at.plus(Duration::from_secs(90)));

    let all = series(&recorder, now, "queue.depth", 600);
    assert_eq!(all.points.len(), 100, "second 0 counts");
}

#[test]
fn coarse_points_keep_min_max_mean_and_last() {
    let (recorder, now) = recorded(&DEPTH, 0..3600, f64::from);
    let hour = series(&recorder, now, "queue.depth", 3600);
    assert_eq!(hour.resolution_s, 10);
    assert_eq!(hour.points.len(), 360);
    let first = hour.points[0];
    assert_eq!((first.min, first.max, first.value, first.last), (0.0, 9.0, 4.5, 9.0));
    assert_eq!(hour.last(), 3599.0);
}

#[test]
fn rings_stay_within_their_capacity() {
    let (recorder, now) = recorded(&DEPTH, 0..100_000, f64::from);
    for (seconds, resolution) in
        [(600, Resolution::Second), (7200, Resolution::TenSeconds), (86_400, Resolution::Minute)]
    {
        let series = series(&recorder, now, "queue.depth", seconds);
        assert_eq!(series.resolution_s, resolution.seconds());
        let points = series.points.len();
        assert!(points <= resolution.capacity() as usize + 1 && points >= resolution.capacity() as usize, "{points}");
    }
    assert!(recorder.store().memory_bytes < 100_000, "{:?}", recorder.store());
}

#[test]
fn counters_are_rates_and_a_restart_is_a_gap() {
    let (recorder, now) =
        recorded(
            &DONE,
            0..20,
            |second| if second < 10 { f64::from(second) * 5.0 } else { f64::from(second) * 3.0 - 30.0 },
        );
    let rates = series(&recorder, now, "queue.done", 600);
    assert_eq!(rates.unit, Unit::PerSecond);
    let values: Vec<f64> = rates.points.iter().map(|point| point.value).collect();
    assert_eq!(values[..9], [5.0; 9]);
    assert_eq!(values[9..], [3.0; 9], "the restart at second 10 has no rate");
}

#[test]
fn a_series_is_stale_when_its_own_intervals_have_passed_without_a_value() {
    let stale_after = |seconds: &[u32]| {
        let (recorder, now) = recorded(&DEPTH, seconds.iter().copied(), f64::from);
        let [reference] = &recorder.until(now).list()[..] else { panic!("one metric was recorded") };
        let is_stale = |seconds: &u64| reference.is_stale(reference.latest_at.plus(Duration::from_secs(*seconds)));
        (reference.interval_s, (0..1000).find(is_stale))
    };
    assert_eq!(stale_after(&[0, 1, 2, 3]), (Some(1), Some(6)));
    assert_eq!(stale_after(&[0, 10, 20]), (Some(10), Some(24)));
    assert_eq!(stale_after(&[0, 1, 2, 62]), (Some(60), Some(124)), "counting has become slow");
    assert_eq!(stale_after(&[0, 60, 61]), (Some(1), Some(6)));
    assert_eq!(stale_after(&[7]), (None, Some(24)), "it may be one of those each ten seconds");
}

#[test]
fn a_missed_second_is_a_gap_and_counted() {
    let (recorder, now) = recorded(&DEPTH, (0..10).chain(13..20), f64::from);
    let series = series(&recorder, now, "queue.depth", 20);
    assert_eq!(series.points.len(), 17);
    assert_eq!(series.slope_per_s(), Some(1.0));
    assert_eq!(recorder.store().dropped_total, 3);
}

#[test]
fn a_capture_does_not_see_what_came_later() {
    let (recorder, now) = recorded(&DEPTH, 0..10, f64::from);
    let view = recorder.until(now);
    let mut metrics = Metrics::default();
    metrics.record(&DEPTH, 1e9);
    recorder.record("queue", now + Duration::from_secs(1), &metrics);
    assert_eq!(view.series("queue.depth", Span::seconds(60)).unwrap().last(), 9.0);
}

#[test]
fn series_past_the_cap_are_refused_and_counted() {
    let recorder = Arc::new(Recorder::new());
    let mut metrics = Metrics::default();
    for label in 0..MAX_SERIES + 5 {
        metrics.record_for(&DEPTH, &label.to_string(), 1.0);
    }
    recorder.record("queue", recorder.started, &metrics);
    let store = recorder.store();
    assert_eq!((store.len_count, store.dropped_total), (512, 5));
}

#[test]
fn unknown_and_empty_series_say_so() {
    let (recorder, now) = recorded(&DEPTH, 0..3, f64::from);
    let view = recorder.until(now + Duration::from_secs(1000));
    assert_eq!(
        view.series("queue.dept", Span::seconds(60)).unwrap_err().to_string(),
        "there is no series `queue.dept`; did you mean `queue.depth`?"
    );
    assert_eq!(
        view.series("queue.depth", Span::seconds(60)).unwrap_err().to_string(),
        "the series `queue.depth` over the last 1m is unavailable: wait until a value has been recorded in that time"
    );
}

#[test]
fn a_saved_history_answers_as_the_recorder_did() {
    let (recorder, now) = recorded(&DEPTH, 0..5000, |second| f64::from(second % 7));
    let view = recorder.until(now);
    let json = serde_json::to_string(&view.save()).unwrap();
    let saved: SavedHistory = serde_json::from_str(&json).unwrap();
    for seconds in [30, 3600, 86_400] {
        let span = Span::seconds(seconds);
        assert_eq!(saved.series("queue.depth", span).unwrap(), view.series("queue.depth", span).unwrap());
    }
}

#[test]
fn the_last_second_of_all_has_a_series() {
    let (recorder, now) = recorded(&DEPTH, 0..100, f64::from);
    let mut saved = serde_json::to_value(recorder.until(now).save()).unwrap();
    saved["second"] = u32::MAX.into();
    let rings = &mut saved["series"][0]["rings"];
    rings["seconds"][0][0] = u32::MAX.into();
    for coarse in ["tens", "minutes"] {
        rings[coarse]["closed"][0][0] = u32::MAX.into();
        rings[coarse]["open"]["interval"] = u32::MAX.into();
    }
    let saved: SavedHistory = serde_json::from_value(saved).unwrap();
    let points = |seconds| saved.series("queue.depth", Span::seconds(seconds)).unwrap().points;
    let last = saved.started_at.plus(Duration::from_secs(u32::MAX.into()));
    assert_eq!(points(1).iter().map(|point| (point.at, point.last)).collect::<Vec<_>>(), [(last, 0.0)]);
    for seconds in [3600, 86_400] {
        assert_eq!(points(seconds).iter().map(|point| point.at).collect::<Vec<_>>(), [last, last]);
    }
}
