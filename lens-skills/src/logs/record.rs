//! What is written where something is logged. Separate from the layer because it knows nothing of registries: no lock, no
//! wait, and no allocation but for the first event of a place.

use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use lens_core::{Place, Timestamp};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;

use crate::places::{self, Counted, Places};
use crate::text::Text;

use super::levels::{ByLevel, Level};

/// How many places are told apart; events of further ones are only counted by level.
pub const MAX_PLACES: usize = 2048;

/// How many events wait at most for lens to take them in, which it does every second. The oldest are dropped first.
pub const MAX_QUEUED: usize = 1024;

/// How many events of one place are kept one by one in a second; further ones are only counted. So a storm neither costs
/// much nor pushes out what else was logged.
pub const MAX_RECENT_PER_SECOND: u32 = 16;

/// How much of a message is kept, in bytes.
pub(super) const MESSAGE: usize = 256;
/// How much of the fields is kept, in bytes.
pub(super) const FIELDS: usize = 256;
/// How much of the names of spans is kept, in bytes.
pub(super) const SPANS: usize = 96;

/// Which task runs on the calling thread, and where it was spawned.
pub type TaskOfThread = fn() -> Option<(u64, Option<&'static Location<'static>>)>;

/// One event, as the layer writes it.
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    /// The place's number; `None` for a place beyond [`MAX_PLACES`].
    pub(super) place: Option<u16>,
    pub(super) message: Text<MESSAGE>,
    pub(super) fields: Text<FIELDS>,
    pub(super) spans: Text<SPANS>,
    pub(super) task: Option<(u64, Option<&'static Location<'static>>)>,
}

/// A place that logs.
pub(super) struct Source {
    pub(super) level: Level,
    pub(super) target: Box<str>,
    /// `None` if the event has no file or line.
    pub(super) place: Option<Box<str>>,
    pub(super) first_at: Timestamp,
}

/// Where an event comes from, as far as it says.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) file: Option<&'a str>,
    pub(super) line: Option<u32>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(metadata: &'a Metadata<'_>) -> Self {
        Self {
            level: Level::from(metadata.level()),
            target: metadata.target(),
            file: metadata.file(),
            line: metadata.line(),
        }
    }

    /// The key of a place that has no metadata of its own.
    pub(super) fn key(&self) -> NonZeroU64 {
        places::key(self.file.unwrap_or(self.target), self.line.unwrap_or(0), self.level as u32)
    }
}

/// The key of a callsite: where its metadata lies.
pub(super) fn key_of(metadata: &'static Metadata<'static>) -> NonZeroU64 {
    NonZeroU64::new(ptr::from_ref(metadata).addr() as u64).unwrap_or(NonZeroU64::MIN)
}

/// What layers write to and the skill reads.
pub(super) struct Recorder {
    totals: [AtomicU64; Level::ALL.len()],
    pub(super) places: Places<Source>,
    pub(super) queue: ArrayQueue<Record>,
    dropped: AtomicU64,
    /// The most verbose level of a layer that was added, plus one; 0 while there is none.
    level: AtomicU8,
    pub(super) task: TaskOfThread,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("totals", &self.totals()).finish_non_exhaustive()
    }
}

impl Recorder {
    pub(super) fn new(task: TaskOfThread) -> Self {
        Self {
            totals: [const { AtomicU64::new(0) }; Level::ALL.len()],
            places: Places::new(MAX_PLACES),
            queue: ArrayQueue::new(MAX_QUEUED),
            dropped: AtomicU64::new(0),
            level: AtomicU8::new(0),
            task,
        }
    }

    /// Counts an event; tells where, and whether it is to be kept as well.
    pub(super) fn count(&self, key: NonZeroU64, origin: Origin<'_>) -> (Counted, bool) {
        self.totals[origin.level as usize].fetch_add(1, Ordering::Relaxed);
        let counted = self.places.count(key, || Source {
            level: origin.level,
            target: origin.target.into(),
            place: origin
                .file
                .zip(origin.line)
                .map(|(file, line)| Place { file, line, column: None }.to_string().into_boxed_str()),
            first_at: Timestamp::now(),
        });
        let is_kept = counted.kept < MAX_RECENT_PER_SECOND;
        if !is_kept {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        (counted, is_kept)
    }

    pub(super) fn keep(&self, record: Record) {
        if self.queue.force_push(record).is_some() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A layer was added to a registry.
    pub(super) fn attach(&self, level: LevelFilter) {
        let verbosity = level.into_level().map_or(0, |level| Level::from(&level) as u8 + 1);
        self.level.fetch_max(verbosity + 1, Ordering::Relaxed);
    }

    pub(super) fn is_attached(&self) -> bool {
        self.level.load(Ordering::Relaxed) != 0
    }

    /// The most verbose level that a layer records.
    pub(super) fn level(&self) -> LevelFilter {
        match self.level.load(Ordering::Relaxed) {
            0 | 1 => LevelFilter::OFF,
            2 => LevelFilter::ERROR,
            3 => LevelFilter::WARN,
            4 => LevelFilter::INFO,
            5 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }

    pub(super) fn totals(&self) -> ByLevel {
        ByLevel(std::array::from_fn(|level| self.totals[level].load(Ordering::Relaxed)))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
