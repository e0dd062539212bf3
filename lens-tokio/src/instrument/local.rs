//! The calling thread's slot. Separate because a thread's end is delicate: hooks still run while its thread-locals are
//! being destroyed.

use std::cell::Cell;

use crate::table::slot::Slot;
use crate::threads;

use super::TABLE;

thread_local! {
    /// The thread's slot. Has no destructor, so it can be read until the thread is gone.
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    /// Gives the slot back when the thread ends.
    static LEASE: Lease = const { Lease };
}

struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = SLOT.take() {
            TABLE.give_back(slot);
        }
    }
}

/// The calling thread's slot, if it has one already.
#[inline]
pub(crate) fn known_slot() -> Option<&'static Slot> {
    SLOT.get()
}

/// Calls `with` with the calling thread's slot.
#[inline]
pub(crate) fn with_slot<R>(with: impl FnOnce(&'static Slot) -> R) -> R {
    match SLOT.get() {
        Some(slot) => with(slot),
        None => with_new_slot(with),
    }
}

#[cold]
fn with_new_slot<R>(with: impl FnOnce(&'static Slot) -> R) -> R {
    let slot = TABLE.slots.take(threads::own_id());
    if LEASE.try_with(|_| ()).is_ok() {
        SLOT.set(Some(slot));
        slot.thread().is_std(super::number_of(&std::thread::current().id()));
        return with(slot);
    }
    // The thread is ending and has given its slot back: it borrows one for this call.
    let result = with(slot);
    TABLE.give_back(slot);
    result
}
