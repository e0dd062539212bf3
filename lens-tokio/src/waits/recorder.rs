//! What the layer writes and lens reads: the tasks, resources and waits that exist now. Separate from the layer because
//! it knows tokio's events only by their meaning.
//!
//! # Who holds, who waits
//!
//! A mutex or read-write lock says when it was acquired and released; whoever acts at that moment acquires or releases.
//! The release is said after the lock is free, so the next holder may be heard first; [`Resource`] sorts that out.
//!
//! A semaphore says when permits leave and enter its pool. If somebody waits, a release goes to the first in the queue
//! without the pool: then permits are added to the waiter's operation by another party than the waiter.
//!
//! An operation waits from the first poll that is pending until a poll that is ready, or until its span is closed: it
//! was dropped. An operation within another (a semaphore in a mutex, a sleep in an interval) is left to the outer one.
//!
//! What lens's own threads create and wait for is left out: they answer the questions, and wait for the next one.
//!
//! # The gate
//!
//! While the layer is off nothing is said, so holds and waits from before mean nothing afterwards. Every entry carries
//! the epoch in which it was written, and only those of the present one count.

mod changes;
mod operations;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lens_core::threads;

use super::fields::{NewResource, PlaceFields, Source, Spawn};
use super::here::{self, Here};
use super::places::{NOWHERE, Place, Places};
use super::resource::{Actor, Resource, THREAD};
use super::shards::Shards;
use super::state::Kind;

/// How many tasks are known by name and place; further ones are known by their id only.
pub const MAX_TASKS: usize = 131_072;

/// How many locks, semaphores, channels and timers are recorded at once; what concerns further ones is not known.
pub const MAX_RESOURCES: usize = 65_536;

/// How many waits are recorded at once; further ones are not known.
pub const MAX_WAITS: usize = 65_536;

/// How many threads outside of tasks are known by name.
pub const MAX_THREADS: usize = 1024;

/// Wants all the permits that there are.
pub(super) const ALL: u64 = u64::MAX;

/// Numbers for the recorders of a process, and for their layers.
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// A number that no other recorder or layer has.
pub(super) fn next_number() -> u32 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// A task of tokio.
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) place: Place,
    pub(super) name: Option<Box<str>>,
}

/// A thread that acts outside of tasks.
pub(super) struct Thread {
    pub(super) actor: Actor,
    pub(super) name: Option<Box<str>>,
    /// Where it called `block_on`.
    pub(super) place: Place,
}

/// An operation that was pending at its last poll, or a timer between two words in one poll.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) actor: Actor,
    /// The span of what it waits for; 0 if that has none.
    pub(super) resource: u64,
    pub(super) source: Source,
    pub(super) kind: Kind,
    /// Permits: 0 where there are none, or [`ALL`].
    pub(super) wanted: u64,
    pub(super) obtained: u64,
    pub(super) since: u64,
    /// The order in which waits began.
    pub(super) order: u64,
    pub(super) epoch: u32,
    pub(super) is_pending: bool,
}

/// What kind of span one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanKind {
    Task,
    Resource,
    Operation,
}

/// Everything that was recorded.
pub(super) struct Recorder {
    /// Tells its entries in the threads' memory from those of others; new for every registry that it serves.
    pub(super) tag: AtomicU32,
    started: Instant,
    /// Whether callsites are to be on.
    pub(super) is_on: AtomicBool,
    epoch: AtomicU32,
    /// When the present epoch began.
    epoch_since: AtomicU64,
    /// Whether the present epoch is not the first.
    was_off: AtomicBool,
    /// Whether anything but lens's own trial was seen.
    has_seen_others: AtomicBool,
    order: AtomicU64,
    pub(super) tasks: Shards<Task>,
    pub(super) resources: Shards<Resource>,
    pub(super) waits: Shards<Wait>,
    pub(super) threads: Mutex<Vec<Thread>>,
    threads_dropped: AtomicU64,
    pub(super) places: Places,
}

impl Recorder {
    pub(super) fn new() -> Self {
        let tag = next_number();
        Self {
            tag: AtomicU32::new(tag),
            started: Instant::now(),
            is_on: AtomicBool::new(true),
            epoch: AtomicU32::new(1),
            epoch_since: AtomicU64::new(0),
            was_off: AtomicBool::new(false),
            has_seen_others: AtomicBool::new(false),
            order: AtomicU64::new(1),
            tasks: Shards::new(MAX_TASKS),
            resources: Shards::new(MAX_RESOURCES),
            waits: Shards::new(MAX_WAITS),
            threads: Mutex::new(Vec::new()),
            threads_dropped: AtomicU64::new(0),
            places: Places::new(tag),
        }
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    #[inline]
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub(super) fn epoch_since(&self) -> u64 {
        self.epoch_since.load(Ordering::Relaxed)
    }

    /// Whether there was a time without recording since the registry began.
    pub(super) fn was_off(&self) -> bool {
        self.was_off.load(Ordering::Relaxed)
    }

    pub(super) fn has_seen_others(&self) -> bool {
        self.has_seen_others.load(Ordering::Relaxed)
    }

    #[inline]
    fn has_seen(&self, here: &Here) {
        if !here.is_probing.get() && !self.has_seen_others.load(Ordering::Relaxed) {
            self.has_seen_others.store(true, Ordering::Relaxed);
        }
    }

    /// Begins an epoch: what was recorded before means nothing from now on.
    pub(super) fn begin_epoch(&self) {
        self.epoch_since.store(self.now(), Ordering::Relaxed);
        self.was_off.store(true, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets everything: the spans of another registry have other ids.
    pub(super) fn begin_registry(&self) {
        self.tag.store(next_number(), Ordering::Relaxed);
        self.tasks.clear();
        self.resources.clear();
        self.waits.clear();
        self.epoch_since.store(self.now(), Ordering::Relaxed);
        self.was_off.store(false, Ordering::Relaxed);
        self.has_seen_others.store(false, Ordering::Relaxed);
    }

    /// How many tasks, resources, waits, threads and places were refused.
    pub(super) fn dropped(&self) -> u64 {
        let stores = self.tasks.dropped() + self.resources.dropped() + self.waits.dropped();
        stores + self.threads_dropped() + self.places.dropped()
    }

    pub(super) fn known_threads(&self) -> usize {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn threads_dropped(&self) -> u64 {
        self.threads_dropped.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn here<R>(&self, act: impl FnOnce(&Here) -> R) -> R {
        Here::with(self.tag.load(Ordering::Relaxed), act)
    }

    /// Who acts. A thread is told by its name when it is seen first.
    #[inline]
    fn actor(&self, here: &Here) -> Actor {
        let actor = here.actor();
        if actor & THREAD != 0 && here.known_to.get() != self.tag.load(Ordering::Relaxed) {
            self.meet(here, actor, NOWHERE);
        }
        actor
    }

    #[cold]
    fn meet(&self, here: &Here, actor: Actor, place: Place) {
        here.known_to.set(self.tag.load(Ordering::Relaxed));
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = threads.iter_mut().find(|thread| thread.actor == actor) {
            if place != NOWHERE {
                known.place = place;
            }
        } else if threads.len() < MAX_THREADS {
            let name = std::thread::current().name().map(Into::into);
            threads.push(Thread { actor, name, place });
        } else {
            self.threads_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    // What the layer calls, in the order of a span's life.

    pub(super) fn task_was_spawned(&self, here: &Here, span: u64, fields: &Spawn) {
        if threads::is_own() {
            return;
        }
        self.has_seen(here);
        let place = self.place(&fields.place);
        if fields.kind.as_str() == "block_on" {
            let actor = here.actor();
            if actor & THREAD != 0 {
                self.meet(here, actor, place);
            }
            return;
        }
        let name = fields.name.as_str();
        let name = (!name.is_empty()).then(|| name.into());
        self.tasks.insert(span, |_| Task { id: fields.task, place, name });
    }

    pub(super) fn resource_was_created(&self, here: &Here, span: u64, fields: &NewResource) {
        here.seen.set(here.seen.get() + 1);
        if threads::is_own() {
            return;
        }
        self.has_seen(here);
        let mut place = self.place(&fields.place);
        let mut kind = fields.kind;
        let outer = here.resource.get();
        if !fields.is_internal {
            here.resource.set(here::NewResource { id: span, kind, place });
        } else if outer.id != 0 && outer.id == here.span(0) {
            if outer.kind != Kind::Semaphore {
                return;
            }
            place = outer.place;
        } else {
            kind = Kind::Channel;
        }
        let creator = self.actor(here);
        let epoch = self.epoch();
        // A semaphore's inside follows, and does all the talking.
        let is_shell = kind == Kind::Semaphore && !fields.is_internal;
        self.resources.insert(span, |number| {
            let mut resource = Resource::new(number, kind, place, creator, epoch);
            resource.is_shell = is_shell;
            resource
        });
    }

    fn place(&self, fields: &PlaceFields) -> Place {
        self.places.number(fields.file.as_str(), fields.line, fields.column)
    }
}
