//! What each size class and each arena held in the last minute and the last hour. Separate from the recorder's series
//! because there would be hundreds of them, and only the diagnosis asks: which classes grew, which arenas lie idle.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use lens_core::{Store, Timestamp};

use crate::snapshot::{SizeClasses, Snapshot};

/// How many points are kept of the last minute (one each time that metrics are recorded) and of the last hour. More
/// cost memory; fewer see growth and idleness over a shorter time only.
pub const POINTS: usize = 60;

/// How many points of the last minute make one of the last hour.
const PER_HOUR_POINT: u32 = 60;

/// The last minute by seconds and the last hour by minutes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapHistory {
    /// Oldest first, one for each second.
    pub seconds: VecDeque<HeapPoint>,
    /// Oldest first, one for each minute.
    pub minutes: VecDeque<HeapPoint>,
    since_minute: u32,
    dropped_total: u64,
}

/// One instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapPoint {
    /// When it was.
    pub at: Timestamp,
    /// Bytes in use in each small size class, in their order.
    pub small_bytes: Vec<u64>,
    /// Bytes in use in large size classes.
    pub large_bytes: u64,
    /// Every arena.
    pub arenas: Vec<ArenaPoint>,
}

/// An arena at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArenaPoint {
    /// Its index.
    pub index: u64,
    /// Its dirty pages.
    pub pdirty: u64,
    /// Dirty pages that it gave back since the start.
    pub dirty_purged: u64,
    /// Blocks that left it or came back to it since the start: while this stands still, nothing makes it give pages back.
    pub events: u64,
}

impl HeapHistory {
    /// Adds an instant. Allocates while the rings grow, and when there are more arenas than ever.
    pub(crate) fn push(&mut self, at: Timestamp, snapshot: &Snapshot, classes: &SizeClasses) {
        let dropped = push(&mut self.seconds, |point| point.fill(at, snapshot, classes));
        self.dropped_total += u64::from(dropped);
        if self.since_minute == 0 {
            let dropped = push(&mut self.minutes, |point| point.fill(at, snapshot, classes));
            self.dropped_total += u64::from(dropped);
        }
        self.since_minute = (self.since_minute + 1) % PER_HOUR_POINT;
    }

    /// Whether nothing was allocated from an arena or freed to it over the last minute; `None` before there are two
    /// points of it.
    pub(crate) fn is_idle(&self, arena: u64) -> Option<bool> {
        let first = self.seconds.front()?.arena(arena)?;
        let last = self.seconds.back()?.arena(arena)?;
        (self.seconds.len() > 1).then_some(first.events == last.events)
    }

    /// The latest point that is at least `span_ms` before `now`.
    pub(crate) fn before(&self, now: Timestamp, span_ms: u64) -> Option<&HeapPoint> {
        let latest = now.minus(Duration::from_millis(span_ms));
        let within = |ring: &'_ VecDeque<HeapPoint>| ring.iter().rposition(|point| point.at <= latest);
        match within(&self.seconds) {
            Some(at) => self.seconds.get(at),
            None => self.minutes.get(within(&self.minutes)?),
        }
    }

    pub(crate) fn store(&self) -> Store {
        let points = self.seconds.iter().chain(&self.minutes);
        let bytes = points.map(|point| {
            size_of::<HeapPoint>()
                + point.small_bytes.capacity() * size_of::<u64>()
                + point.arenas.capacity() * size_of::<ArenaPoint>()
        });
        Store {
            name: "size classes and arenas".into(),
            len_count: (self.seconds.len() + self.minutes.len()) as u64,
            cap_count: 2 * POINTS as u64,
            memory_bytes: bytes.sum::<usize>() as u64,
            dropped_total: self.dropped_total,
        }
    }
}

/// Fills the next point of a ring in the memory of the oldest; whether there was an oldest to drop.
fn push(ring: &mut VecDeque<HeapPoint>, fill: impl FnOnce(&mut HeapPoint)) -> bool {
    let oldest = if ring.len() >= POINTS { ring.pop_front() } else { None };
    let dropped = oldest.is_some();
    let mut point = oldest.unwrap_or_default();
    fill(&mut point);
    ring.push_back(point);
    dropped
}

impl HeapPoint {
    pub(crate) fn arena(&self, index: u64) -> Option<&ArenaPoint> {
        self.arenas.iter().find(|arena| arena.index == index)
    }

    fn fill(&mut self, at: Timestamp, snapshot: &Snapshot, classes: &SizeClasses) {
        self.at = at;
        self.large_bytes = snapshot.blocks.large_allocated;
        self.small_bytes.clear();
        self.small_bytes.extend(snapshot.bins.iter().zip(&classes.small).map(|(bin, class)| bin.curregs * class.size));
        self.arenas.clear();
        self.arenas.extend(snapshot.arenas.iter().map(|arena| ArenaPoint {
            index: arena.index,
            pdirty: arena.readings.pdirty,
            dirty_purged: arena.readings.dirty_purged,
            events: arena.blocks.events(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_keep_the_latest_second_and_minute_points() {
        let mut history = HeapHistory::default();
        let (snapshot, classes) = (Snapshot::default(), SizeClasses::default());
        for second in 0..4000_u64 {
            history.push(Timestamp::from_unix_millis(second * 1000), &snapshot, &classes);
        }
        let seconds: Vec<_> = history.seconds.iter().map(|point| point.at.unix_millis() / 1000).collect();
        let minutes: Vec<_> = history.minutes.iter().map(|point| point.at.unix_millis() / 1000).collect();
        assert_eq!(seconds, (3940..4000).collect::<Vec<_>>());
        assert_eq!(minutes, (7..67).map(|minute| minute * 60).collect::<Vec<_>>());
        assert_eq!(history.store().dropped_total, 4000 - 60 + 7);
    }
}
