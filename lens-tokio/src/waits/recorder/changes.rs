//! What resources say of themselves: acquired, released, and how many permits there are. Separate because it writes only
//! the resource, by who acts at that moment.

use super::Recorder;
use crate::waits::fields::{Change, Said, Update};
use crate::waits::here::Here;
use crate::waits::resource::Hold;
use crate::waits::state::{Kind, Mode};

impl Recorder {
    /// Whether an update can mean anything: what a lock's inside says in the poll of its lock does not.
    #[inline]
    pub(in crate::waits) fn may_concern(here: &Here) -> bool {
        let span = here.span(0);
        let new = here.operation.get();
        span != 0 && !(new.id == span && new.source.is_lock())
    }

    /// `runtime::resource::state_update`.
    pub(in crate::waits) fn resource_changed(&self, here: &Here, update: Update) {
        let span = here.span(0);
        if span == 0 {
            return;
        }
        match update.said {
            Said::Locked(true) => self.acquire(here, span, Kind::Mutex, Mode::Exclusive, 1),
            Said::Locked(false) => self.release(here, span, Kind::Mutex, Mode::Exclusive, 1),
            Said::WriteLocked(true) => self.acquire(here, span, Kind::RwLock, Mode::Exclusive, 1),
            Said::WriteLocked(false) => self.release(here, span, Kind::RwLock, Mode::Exclusive, 1),
            Said::Readers(count) => match update.change {
                Change::Add => self.acquire(here, span, Kind::RwLock, Mode::Read, count),
                Change::Subtract => self.release(here, span, Kind::RwLock, Mode::Read, count),
                Change::Set => {}
            },
            Said::MaxReaders(count) => self.set_capacity(span, Kind::RwLock, count),
            Said::Size(count) => self.set_capacity(span, Kind::Barrier, count),
            Said::Permits(count) => match update.change {
                Change::Set => {
                    self.set_capacity(span, Kind::Semaphore, count);
                    self.set_capacity(span, Kind::Channel, count);
                }
                // The pool is only drawn on within a poll, which is in the resource, the operation, and the pool.
                Change::Subtract if here.span(2) == span => {
                    self.acquire(here, span, Kind::Semaphore, Mode::Permits, count);
                }
                Change::Subtract => {}
                Change::Add => self.release(here, span, Kind::Semaphore, Mode::Permits, count),
            },
            Said::Requested(_) | Said::Obtained(_) | Said::Nothing => {}
        }
    }

    fn set_capacity(&self, span: u64, kind: Kind, capacity: u64) {
        self.resources.with(span, |resource| {
            if resource.kind == kind {
                resource.capacity = capacity;
            }
        });
    }

    fn acquire(&self, here: &Here, span: u64, kind: Kind, mode: Mode, count: u64) {
        if count == 0 {
            return;
        }
        let actor = self.actor(here);
        let may_move = here.guard_may_move(span);
        let (epoch, since) = (self.epoch(), self.now());
        self.resources.with(span, |resource| {
            if resource.kind == kind {
                resource.acquire(epoch, Hold { actor, mode, may_move, count, since });
            }
        });
    }

    fn release(&self, here: &Here, span: u64, kind: Kind, mode: Mode, count: u64) {
        let actor = self.actor(here);
        let epoch = self.epoch();
        self.resources.with(span, |resource| {
            if resource.kind == kind {
                resource.release(epoch, actor, mode, count, || self.now());
            } else if resource.kind == Kind::Channel && mode == Mode::Permits {
                resource.made_room(actor);
            }
        });
    }
}
