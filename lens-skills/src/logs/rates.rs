//! How fast places logged lately. Separate because the counts have no history of their own: it is sampled here.

use std::collections::VecDeque;
use std::time::Duration;

use lens_core::Timestamp;

use super::record::Recorder;

/// How often counts are sampled.
const STEP: Duration = Duration::from_secs(5);

/// How many samples are kept: a minute's, and the one that it begins with.
const SAMPLES: usize = 13;

/// The counts of all places at an instant, by number.
#[derive(Debug)]
struct Sample {
    at: Timestamp,
    counts: Vec<u64>,
}

/// Samples of the last minute.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<Sample>);

impl Rates {
    /// Samples the counts, if it is time to.
    pub(super) fn tick(&mut self, recorder: &Recorder, now: Timestamp) {
        if self.0.back().is_some_and(|last| now.since(last.at) < STEP) {
            return;
        }
        let full = if self.0.len() == SAMPLES { self.0.pop_front() } else { None };
        let mut counts = full.map_or_else(Vec::new, |sample| sample.counts);
        counts.clear();
        for (number, _, count) in recorder.places.iter() {
            counts.resize(usize::from(number), 0);
            counts.push(count);
        }
        self.0.push_back(Sample { at: now, counts });
    }

    /// The window, and the count of each place at its start: that of the oldest sample.
    pub(super) fn window(&self, now: Timestamp) -> Option<(Duration, &[u64])> {
        let oldest = self.0.front()?;
        Some((now.since(oldest.at), &oldest.counts))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.iter().map(|sample| size_of::<Sample>() + sample.counts.capacity() * size_of::<u64>()).sum()
    }
}
