//! The panic hook, and what it writes. Separate because this runs in the thread that panics: no lock, no wait, and no
//! allocation but for the first panic of a place.

use std::panic::{Location, PanicHookInfo};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_queue::ArrayQueue;
use lens_core::{Reading, Timestamp, Unavailable};

use crate::places::{self, Places};
use crate::text::Text;

/// How many places are told apart; panics at further ones are only counted.
pub const MAX_PLACES: usize = 256;

/// How many panics wait at most for lens to take them in, which it does every second. The oldest are dropped first.
pub const MAX_QUEUED: usize = 256;

/// How many panics of one place are kept one by one in a second; further ones are only counted. So a loop of panics does
/// not push out what else went wrong.
pub const MAX_RECENT_PER_SECOND: u32 = 16;

/// How much of a message is kept, in bytes.
const MESSAGE: usize = 320;

/// Which task runs on the calling thread, and where it was spawned.
pub type TaskOfThread = fn() -> Option<(u64, Option<&'static Location<'static>>)>;

/// One panic, as the hook writes it.
pub(super) struct Event {
    pub(super) at: Timestamp,
    /// The place's number; `None` for a place beyond [`MAX_PLACES`].
    pub(super) place: Option<u16>,
    pub(super) message: Text<MESSAGE>,
    pub(super) thread: Text<32>,
    pub(super) task: Option<(u64, Option<&'static Location<'static>>)>,
}

/// A place that panicked.
pub(super) struct Place {
    pub(super) place: String,
    pub(super) first_at: Timestamp,
}

/// What the hook writes to; lives as long as the process, as the hook does.
pub(super) struct Panics {
    pub(super) places: Places<Place>,
    pub(super) queue: ArrayQueue<Event>,
    /// Panics that were not kept one by one.
    pub(super) dropped: AtomicU64,
    total: AtomicU64,
    task: TaskOfThread,
}

static PANICS: OnceLock<Panics> = OnceLock::new();

/// What the hook has written; `None` before it was added.
pub(super) fn panics() -> Option<&'static Panics> {
    PANICS.get()
}

/// Lets each place be kept one by one again; once a second.
pub(super) fn renew() {
    if let Some(panics) = panics() {
        panics.places.renew();
    }
}

/// Panics since the hook was added.
pub(super) fn total() -> u64 {
    panics().map_or(0, |panics| panics.total.load(Ordering::Relaxed))
}

/// Adds the hook, once in a process.
pub(super) fn install(task: TaskOfThread) -> Reading<()> {
    if thread::panicking() {
        return Err(Unavailable::failed("std::panic::set_hook was called in a thread that panics"));
    }
    let mut is_new = false;
    PANICS.get_or_init(|| {
        is_new = true;
        Panics {
            places: Places::new(MAX_PLACES),
            queue: ArrayQueue::new(MAX_QUEUED),
            dropped: AtomicU64::new(0),
            total: AtomicU64::new(0),
            task,
        }
    });
    if is_new {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(panics) = panics() {
                panics.record(info);
            }
            before(info);
        }));
    }
    Ok(())
}

impl Panics {
    fn record(&self, info: &PanicHookInfo<'_>) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let at = Timestamp::now();
        let counted = info.location().map(|location| {
            let key = places::key(location.file(), location.line(), location.column());
            let place = || Place { place: lens_core::Place::from(location).to_string(), first_at: at };
            self.places.count(key, place)
        });
        if counted.is_some_and(|counted| counted.kept >= MAX_RECENT_PER_SECOND) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let event = Event {
            at,
            place: counted.and_then(|counted| counted.number),
            message: Text::of(info.payload_as_str().unwrap_or("(the payload is no text)")),
            thread: thread_name(),
            task: (self.task)(),
        };
        if self.queue.force_push(event).is_some() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn thread_name() -> Text<32> {
    Text::of(thread::current().name().unwrap_or_default())
}
