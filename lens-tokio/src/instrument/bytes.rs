//! What tasks allocate and free, read from the allocator's counters of the thread around each poll. Separate because it is
//! only done where the allocator counts: lens-tokio knows no allocator, and is told by whoever does.
//!
//! Both counters are read when a poll starts and when it ends. Nothing else is done unless one of them moved. What lens's
//! own hooks allocate while a task is polled (a page of the table) is taken off again.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock, PoisonError};

use lens_core::thread_bytes::ThreadBytes;
use lens_core::{Reading, Unavailable};

use super::TABLE;
use crate::table::slot::Slot;

/// Gives the calling thread's counters.
pub type CountersOfThread = fn() -> Option<ThreadBytes>;

static SOURCE: OnceLock<CountersOfThread> = OnceLock::new();
/// Why there is none.
static REFUSED: Mutex<Option<Unavailable>> = Mutex::new(None);

thread_local! {
    /// Nothing until the first poll that starts in the thread after there is a source. Without a destructor.
    static COUNTERS: Cell<Option<ThreadBytes>> = const { Cell::new(None) };
}

/// Has the bytes counted that tasks allocate and free, from now on: `source` gives the allocator's counters of the calling
/// thread. Or says why there are none, until somebody has some.
pub fn count_bytes(source: Reading<CountersOfThread>) {
    match source {
        // Two would know the same allocator.
        Ok(source) => drop(SOURCE.set(source)),
        Err(reason) => *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason),
    }
}

/// Whether bytes are counted.
pub(crate) fn reading() -> Reading<()> {
    if SOURCE.get().is_some() {
        return Ok(());
    }
    let refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Err(refused.unwrap_or(Unavailable::NotEnabled { how: "start lens: `lens::Builder::new().start()`".into() }))
}

/// A poll has started in this thread.
pub(crate) fn poll_started(slot: &Slot) {
    match COUNTERS.get() {
        Some(bytes) => slot.note_bytes(bytes.allocated(), bytes.freed()),
        None if SOURCE.get().is_none() => {}
        None => look_up(slot),
    }
}

/// The same, of a poll that is inside of no other.
#[inline(always)]
pub(crate) fn first_poll_started(slot: &Slot) {
    match COUNTERS.get() {
        Some(bytes) => slot.note_first_bytes(bytes.allocated(), bytes.freed()),
        None if SOURCE.get().is_none() => {}
        None => look_up(slot),
    }
}

#[cold]
fn look_up(slot: &Slot) {
    let Some(bytes) = SOURCE.get().and_then(|source| source()) else { return };
    COUNTERS.set(Some(bytes));
    // The polls that this one is inside of count from now on.
    slot.note_bytes_of_all(bytes.allocated(), bytes.freed());
}

/// Whether the poll that ends has allocated and freed nothing, if it is inside of no other.
#[inline(always)]
pub(crate) fn are_none(slot: &Slot) -> bool {
    COUNTERS.get().is_none_or(|bytes| slot.is_without_bytes(bytes.allocated(), bytes.freed()))
}

/// The poll that started last in this thread ends.
pub(crate) fn poll_ends(slot: &Slot) {
    let Some(bytes) = COUNTERS.get() else { return };
    let (allocated, freed) = slot.bytes_since(bytes.allocated(), bytes.freed());
    if allocated | freed != 0 && !TABLE.charge_bytes(slot, allocated, freed) {
        charge_first(slot, allocated, freed);
    }
}

/// Charges the first bytes of a site or of the tasks of a chunk of pages, for which the table has to grow.
#[cold]
fn charge_first(slot: &Slot, allocated: u64, freed: u64) {
    uncounted(slot, || TABLE.make_room_for_bytes(slot));
    TABLE.charge_bytes(slot, allocated, freed);
}

/// Does work of lens's in the midst of a poll, without counting for it.
#[inline]
pub(crate) fn uncounted(slot: &Slot, work: impl FnOnce()) {
    let Some(bytes) = COUNTERS.get() else { return work() };
    let before = (bytes.allocated(), bytes.freed());
    work();
    let (allocated, freed) = (bytes.allocated() - before.0, bytes.freed() - before.1);
    if allocated | freed != 0 {
        slot.leave_out_bytes(allocated, freed);
    }
}
