//! What the workers' counters were in each of the last seconds. Separate because a function that is asked for a busy ratio
//! over a window sees no clock and cannot wait: the window has to be there already.

use std::collections::VecDeque;
use std::time::Duration;

use lens_core::numbers::total;
use lens_core::{Reading, Unavailable};
use serde::{Deserialize, Serialize};

/// The longest window that a function of the skill looks back; series reach further. Longer costs 40 bytes a worker and
/// second.
pub const MAX_WINDOW: Duration = Duration::from_secs(60);

/// How often a frame is kept.
const FRAME_INTERVAL: Duration = Duration::from_secs(1);

/// A frame's distance may be this much shorter than the interval, for a clock that ticks a little early.
const TOLERANCE: Duration = Duration::from_millis(50);

/// The shortest window of which a share is given: over less, what is not published yet would weigh too much.
const MIN_WINDOW: Duration = Duration::from_millis(500);

/// One frame more than seconds, so that the window is covered between two frames too.
const FRAMES: usize = 62;

/// A worker's counters in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) busy_ns: u64,
    pub(super) park_count: u64,
    pub(super) poll_count: Option<u64>,
}

/// All workers' counters at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Frame {
    at_ns: u64,
    workers: Vec<Mark>,
}

/// The frames of the last minute, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window(VecDeque<Frame>);

impl Window {
    /// Whether the last frame is a second old.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.0
            .back()
            .is_none_or(|last| Duration::from_nanos(now_ns.saturating_sub(last.at_ns)) + TOLERANCE >= FRAME_INTERVAL)
    }

    /// Keeps a frame; allocates only until the window is full.
    pub(super) fn push(&mut self, at_ns: u64, marks: impl Iterator<Item = Mark>) {
        let recycled = if self.0.len() == FRAMES { self.0.pop_front() } else { None };
        let mut workers = recycled.map_or_else(Vec::new, |frame| frame.workers);
        workers.clear();
        workers.extend(marks);
        self.0.push_back(Frame { at_ns, workers });
    }

    /// Takes back what frames after `since_ns` counted for a worker beyond `busy_ns`.
    pub(super) fn retract(&mut self, worker: usize, since_ns: u64, busy_ns: u64) {
        for frame in self.0.iter_mut().rev().take_while(|frame| frame.at_ns > since_ns) {
            if let Some(mark) = frame.workers.get_mut(worker) {
                mark.busy_ns = busy_ns;
            }
        }
    }

    /// The index of the frame at which a window of `last` before `now_ns` begins: the latest that is old enough, or the
    /// oldest.
    fn begin(&self, now_ns: u64, last: Duration) -> Option<usize> {
        let is_old_enough =
            |frame: &Frame| Duration::from_nanos(now_ns.saturating_sub(frame.at_ns)) + TOLERANCE >= last;
        self.0.iter().rposition(is_old_enough).or(if self.0.is_empty() { None } else { Some(0) })
    }

    /// The counters of a worker when the window of `last` began, and how long ago that was.
    pub(super) fn since(&self, worker: usize, now_ns: u64, last: Duration) -> Reading<(Mark, Duration)> {
        let frame = self.begin(now_ns, last).and_then(|index| self.0.get(index));
        let mark = frame.and_then(|frame| Some((*frame.workers.get(worker)?, frame.at_ns)));
        let found = mark.map(|(mark, at_ns)| (mark, Duration::from_nanos(now_ns.saturating_sub(at_ns))));
        found
            .filter(|(_, length)| *length >= MIN_WINDOW)
            .ok_or(Unavailable::NotYet { until: "the runtime has been watched for a second".into() })
    }

    /// The share of the window of `last` that a worker was busy, which was `busy_ns` in all until now.
    pub(super) fn busy_ratio(&self, worker: usize, now_ns: u64, busy_ns: u64, last: Duration) -> Reading<f64> {
        let (_, length) = self.since(worker, now_ns, last)?;
        let begin = self.begin(now_ns, last).unwrap_or_default();
        let marks =
            self.0.iter().skip(begin).filter_map(|frame| Some((frame.at_ns, frame.workers.get(worker)?.busy_ns)));
        let steps = marks.clone().zip(marks.skip(1).chain([(now_ns, busy_ns)]));
        // A second cannot be busy for longer than it lasts: what is published late belongs to the seconds before.
        let busy = steps.map(|((from, before), (to, after))| after.saturating_sub(before).min(to.saturating_sub(from)));
        Ok(Duration::from_nanos(total(busy)).div_duration_f64(length).min(1.0))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let workers: usize = self.0.iter().map(|frame| frame.workers.capacity() * size_of::<Mark>()).sum();
        workers + self.0.capacity() * size_of::<Frame>()
    }
}

/// The most frames that are kept of a runtime.
pub(super) const CAP: usize = FRAMES;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    fn mark(busy_ns: u64) -> Mark {
        Mark { busy_ns, park_count: 0, poll_count: None }
    }

    fn window(busy_ms: &[u64]) -> Window {
        let mut window = Window::default();
        for (at_ns, busy) in (0..).step_by(1_000_000_000).zip(busy_ms) {
            window.push(at_ns, [mark(busy * MS)].into_iter());
        }
        window
    }

    #[track_caller]
    fn check(busy_ms: &[u64], now_ms: u64, busy_now_ms: u64, last_s: u64, expect: f64) {
        let ratio = window(busy_ms).busy_ratio(0, now_ms * MS, busy_now_ms * MS, Duration::from_secs(last_s)).unwrap();
        assert!((ratio - expect).abs() < 1e-9, "{ratio} is not {expect}");
    }

    #[test]
    fn busy_ratio_is_the_share_of_the_window_asked_for() {
        check(&[0, 100, 400], 3000, 1400, 1, 1.0);
        check(&[0, 100, 400], 3000, 1400, 2, 0.65);
        check(&[0, 100, 400], 3000, 1400, 10, 1.4 / 3.0);
        check(&[0, 100, 400], 2500, 400, 1, 0.3 / 1.5);
    }

    #[test]
    fn time_published_late_fills_no_second_twice() {
        check(&[0, 0, 0], 3000, 3000, 3, 1.0 / 3.0);
    }

    #[test]
    fn window_that_has_hardly_begun_has_no_ratio() {
        let reason = window(&[0]).busy_ratio(0, 499 * MS, 10, Duration::from_secs(1)).unwrap_err();
        assert_eq!(reason.code(), "not_yet");
        assert!(Window::default().busy_ratio(0, SECOND, 10, Duration::from_secs(1)).is_err());
    }

    #[test]
    fn retracted_time_is_not_busy() {
        let mut window = window(&[0, 1000, 2000]);
        window.retract(0, 0, 0);
        assert!(window.busy_ratio(0, 3 * SECOND, 0, Duration::from_secs(3)).unwrap().abs() < 1e-9);
    }

    #[test]
    fn window_keeps_the_last_minute() {
        let busy: Vec<u64> = (0..200).map(|second| second * 1000).collect();
        let window = window(&busy);
        assert_eq!(window.len(), FRAMES);
        let (begin, length) = window.since(0, 200 * SECOND, MAX_WINDOW).unwrap();
        assert_eq!((begin.busy_ns, length), (140 * SECOND, MAX_WINDOW));
    }
}
