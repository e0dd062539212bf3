//! What lens keeps of events, and what is frozen of it. Separate from the layer because this runs in lens's thread.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use lens_core::{Place, Store, Timestamp, redact};
use serde::{Deserialize, Serialize};

use super::levels::{ByLevel, Level};
use super::rates::Rates;
use super::record::{MAX_QUEUED, Record, Recorder};

/// How many events of level WARN and above are kept one by one; the oldest are dropped first.
pub const MAX_URGENT: usize = 512;

/// How many events of lower levels are kept one by one; the oldest are dropped first.
pub const MAX_RECENT: usize = 512;

/// What was known of the log at an instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogsState {
    pub(super) totals: ByLevel,
    /// Events that are counted and not kept one by one.
    pub(super) dropped: u64,
    /// Events at places beyond the cap.
    pub(super) elsewhere: u64,
    /// Newest first.
    pub(super) recent: Vec<LogEvent>,
    pub(super) places: Vec<PlaceCount>,
    /// The window of the places' rates; `None` before the first sample.
    pub(super) window: Option<Duration>,
}

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LogEvent {
    /// Its place in the order of all events.
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) target: Option<String>,
    pub(super) place: Option<String>,
    pub(super) message: String,
    pub(super) fields: String,
    pub(super) spans: String,
    pub(super) task: Option<u64>,
    pub(super) spawned_at: Option<String>,
}

/// A place and how often it logged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlaceCount {
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) place: Option<String>,
    pub(super) count: u64,
    /// Of these, how many before the window.
    pub(super) before: u64,
    pub(super) first_at: Timestamp,
}

/// The events that lens has taken in.
#[derive(Debug, Default)]
pub(super) struct Kept {
    urgent: VecDeque<LogEvent>,
    rest: VecDeque<LogEvent>,
    taken: u64,
    pushed_out: u64,
    rates: Rates,
}

impl Kept {
    /// Takes in what was recorded since.
    pub(super) fn take_in(&mut self, recorder: &Recorder) {
        // Not until it is empty: a storm could fill it as fast as it is read.
        for _ in 0..MAX_QUEUED {
            let Some(record) = recorder.queue.pop() else { break };
            let (ring, most) = match record.level.is_urgent() {
                true => (&mut self.urgent, MAX_URGENT),
                false => (&mut self.rest, MAX_RECENT),
            };
            if ring.len() == most {
                ring.pop_front();
                self.pushed_out += 1;
            }
            ring.push_back(LogEvent::new(self.taken, &record, recorder));
            self.taken += 1;
        }
    }

    /// Once a second: lets each place be kept one by one again, and samples the counts.
    pub(super) fn tick(&mut self, recorder: &Recorder) {
        recorder.places.renew();
        self.rates.tick(recorder, Timestamp::now());
    }

    pub(super) fn state(&self, recorder: &Recorder) -> LogsState {
        let window = self.rates.window(Timestamp::now());
        let before = window.map_or(&[][..], |(_, counts)| counts);
        let places = recorder.places.iter().map(|(number, source, count)| PlaceCount {
            level: source.level,
            target: source.target.to_string(),
            place: source.place.as_deref().map(str::to_owned),
            count,
            before: before.get(usize::from(number)).copied().unwrap_or(0),
            first_at: source.first_at,
        });
        let mut recent: Vec<_> = self.urgent.iter().chain(&self.rest).cloned().collect();
        recent.sort_by_key(|event| Reverse(event.number));
        LogsState {
            totals: recorder.totals(),
            dropped: recorder.dropped() + self.pushed_out,
            elsewhere: recorder.places.others(),
            recent,
            places: places.collect(),
            window: window.map(|(window, _)| window),
        }
    }

    pub(super) fn stores(&self, recorder: &Recorder) -> Vec<Store> {
        let events = self.urgent.iter().chain(&self.rest);
        let text: usize = events.clone().map(LogEvent::text_bytes).sum();
        let room = self.urgent.capacity() + self.rest.capacity();
        let queue = MAX_QUEUED * (size_of::<Record>() + size_of::<usize>());
        vec![
            Store {
                name: "recent events".into(),
                len_count: events.count() as u64,
                cap_count: (MAX_URGENT + MAX_RECENT) as u64,
                memory_bytes: (room * size_of::<LogEvent>() + text + queue) as u64,
                dropped_total: recorder.dropped() + self.pushed_out,
            },
            Store {
                name: "places that log".into(),
                len_count: recorder.places.iter().count() as u64,
                cap_count: recorder.places.cap() as u64,
                memory_bytes: (recorder.places.memory_bytes() + self.rates.memory_bytes()) as u64,
                dropped_total: recorder.places.others(),
            },
        ]
    }
}

impl LogEvent {
    fn new(number: u64, record: &Record, recorder: &Recorder) -> Self {
        let source = record.place.and_then(|number| recorder.places.get(number));
        let (task, spawned_at) = record.task.unzip();
        Self {
            number,
            at: record.at,
            level: record.level,
            target: source.map(|source| source.target.to_string()),
            place: source.and_then(|source| source.place.as_deref()).map(str::to_owned),
            message: redact::text(&record.message.to_string()),
            fields: redact::text(&record.fields.to_string()),
            spans: record.spans.to_string(),
            task,
            spawned_at: spawned_at.flatten().map(|location| Place::from(location).to_string()),
        }
    }

    fn text_bytes(&self) -> usize {
        let optional = [&self.target, &self.place, &self.spawned_at];
        [&self.message, &self.fields, &self.spans]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .map(String::capacity)
            .sum()
    }
}
