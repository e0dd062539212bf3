//! How much may be recorded at a time. Separate because it is what bounds the memory, and the size of a snapshot, which
//! `console-subscriber` gives up if it is larger than 4 MiB.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::callsites::Kind;
use super::{MAX_OPERATIONS, MAX_RESOURCES, MAX_TASKS};

/// How many there are of one kind of span.
pub(super) struct Room {
    cap: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Room {
    const fn new(cap: usize) -> Self {
        Self { cap, used: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }

    /// Takes a place, if there is one.
    fn take(&self) -> bool {
        let used = self.used.fetch_add(1, Ordering::Relaxed);
        if used >= self.cap {
            self.used.fetch_sub(1, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        used < self.cap
    }

    pub(super) fn cap(&self) -> usize {
        self.cap
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// The places of all kinds of spans.
pub(super) struct Budget {
    pub(super) tasks: Room,
    pub(super) resources: Room,
    pub(super) operations: Room,
}

/// In a span's extensions: it has a place.
pub(super) struct Placed(Kind);

impl Budget {
    pub(super) const fn new() -> Self {
        Self { tasks: Room::new(MAX_TASKS), resources: Room::new(MAX_RESOURCES), operations: Room::new(MAX_OPERATIONS) }
    }

    fn room(&self, kind: Kind) -> Option<&Room> {
        match kind {
            Kind::Task => Some(&self.tasks),
            Kind::Resource => Some(&self.resources),
            Kind::Operation => Some(&self.operations),
            Kind::Waker | Kind::Poll | Kind::ResourceUpdate | Kind::OperationUpdate => None,
        }
    }

    /// A place for a new span, if there is one.
    pub(super) fn take(&self, kind: Kind) -> Option<Placed> {
        self.room(kind)?.take().then_some(Placed(kind))
    }

    /// The span is gone.
    pub(super) fn give_back(&self, placed: &Placed) {
        if let Some(room) = self.room(placed.0) {
            room.used.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many found no place.
    pub(super) fn refused(&self) -> u64 {
        self.tasks.refused() + self.resources.refused() + self.operations.refused()
    }
}
