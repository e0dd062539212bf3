//! What lens keeps of panics, and what is frozen of it. Separate from the hook because this runs in lens's thread.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use lens_core::{Store, Timestamp, redact};
use serde::{Deserialize, Serialize};

use super::hook::{self, Event, MAX_PLACES, MAX_QUEUED};

/// How many panics are kept one by one; the oldest are dropped first.
pub const MAX_RECENT: usize = 256;

/// What was known of panics at an instant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PanicsState {
    pub(super) total: u64,
    pub(super) dropped: u64,
    /// Panics at places beyond the cap.
    pub(super) elsewhere: u64,
    pub(super) recent: Vec<Panic>,
    pub(super) places: Vec<PlaceCount>,
}

/// One panic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Panic {
    pub(super) at: Timestamp,
    pub(super) place: Option<String>,
    pub(super) message: String,
    pub(super) thread: Option<String>,
    pub(super) task: Option<u64>,
    pub(super) spawned_at: Option<String>,
}

/// A place and how often it panicked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PlaceCount {
    pub(super) place: String,
    pub(super) count: u64,
    pub(super) first_at: Timestamp,
    /// The last one that was taken in.
    pub(super) last: Option<Panic>,
}

/// The panics that lens has taken in.
#[derive(Debug)]
pub(super) struct Kept {
    recent: VecDeque<Panic>,
    /// By the place's number.
    last: Vec<Option<Panic>>,
    pushed_out: u64,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self { recent: VecDeque::new(), last: vec![None; MAX_PLACES], pushed_out: 0 }
    }

    /// Takes in what the hook has written since.
    pub(super) fn take_in(&mut self) {
        let Some(panics) = hook::panics() else { return };
        // Not until it is empty: a loop of panics could fill it as fast as it is read.
        for _ in 0..MAX_QUEUED {
            let Some(event) = panics.queue.pop() else { break };
            let number = event.place;
            let place = number.and_then(|number| panics.places.get(number));
            let panic = Panic::new(&event, place.map(|place| place.place.clone()));
            if let Some(last) = number.and_then(|number| self.last.get_mut(usize::from(number))) {
                *last = Some(panic.clone());
            }
            if self.recent.len() == MAX_RECENT {
                self.recent.pop_front();
                self.pushed_out += 1;
            }
            self.recent.push_back(panic);
        }
    }

    pub(super) fn state(&self) -> PanicsState {
        let Some(panics) = hook::panics() else { return PanicsState::default() };
        let place = |(number, place, count): (u16, &hook::Place, u64)| PlaceCount {
            place: place.place.clone(),
            count,
            first_at: place.first_at,
            last: self.last.get(usize::from(number)).cloned().flatten(),
        };
        PanicsState {
            total: hook::total(),
            dropped: panics.dropped.load(Ordering::Relaxed) + self.pushed_out,
            elsewhere: panics.places.others(),
            recent: self.recent.iter().rev().cloned().collect(),
            places: panics.places.iter().map(place).collect(),
        }
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        let Some(panics) = hook::panics() else { return Vec::new() };
        let text: usize = self.recent.iter().map(Panic::text_bytes).sum();
        let last: usize = self.last.iter().flatten().map(Panic::text_bytes).sum();
        let known = self.last.len() * size_of::<Option<Panic>>() + last;
        let queue = MAX_QUEUED * (size_of::<Event>() + size_of::<usize>());
        vec![
            Store {
                name: "recent panics".into(),
                len_count: self.recent.len() as u64,
                cap_count: MAX_RECENT as u64,
                memory_bytes: (self.recent.capacity() * size_of::<Panic>() + text + queue) as u64,
                dropped_total: panics.dropped.load(Ordering::Relaxed) + self.pushed_out,
            },
            Store {
                name: "places that panicked".into(),
                len_count: panics.places.iter().count() as u64,
                cap_count: panics.places.cap() as u64,
                memory_bytes: (panics.places.memory_bytes() + known) as u64,
                dropped_total: panics.places.others(),
            },
        ]
    }
}

impl Panic {
    fn new(event: &Event, place: Option<String>) -> Self {
        let (task, spawned_at) = event.task.unzip();
        Self {
            at: event.at,
            place,
            message: redact::text(&event.message.to_string()),
            thread: (!event.thread.is_empty()).then(|| event.thread.to_string()),
            task,
            spawned_at: spawned_at.flatten().map(|location| lens_core::Place::from(location).to_string()),
        }
    }

    fn text_bytes(&self) -> usize {
        let optional = [&self.place, &self.thread, &self.spawned_at];
        self.message.capacity() + optional.into_iter().flatten().map(String::capacity).sum::<usize>()
    }
}
