//! What one thread remembers between two events: the spans that it is in, and what it created last. Separate because it
//! replaces a look-up in the registry for each event, and has no destructor, so that it can be used at any time of a
//! thread's life.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fields::Source;
use super::places::{NOWHERE, Place};
use super::resource::{Actor, THREAD};
use super::state::Kind;
use crate::instrument::number_of;

/// How many nested spans a thread keeps: the innermost. tokio's events come in spans that were entered just before.
const DEPTH: usize = 32;

thread_local! {
    static HERE: Here = const { Here::new() };
}

/// The numbers of the threads that were asked for one.
static THREADS: AtomicU64 = AtomicU64::new(1);

/// An operation that was created and not yet polled.
#[derive(Clone, Copy)]
pub(super) struct NewOperation {
    pub(super) id: u64,
    pub(super) resource: u64,
    pub(super) source: Source,
    pub(super) wanted: u64,
}

/// The public resource that was created last: its inside is created next.
#[derive(Clone, Copy)]
pub(super) struct NewResource {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// An operation that has just succeeded: its guard's event comes next.
#[derive(Clone, Copy)]
pub(super) struct Done {
    pub(super) resource: u64,
    pub(super) may_move: bool,
}

const NO_OPERATION: NewOperation = NewOperation { id: 0, resource: 0, source: Source::Other, wanted: 0 };
const NO_RESOURCE: NewResource = NewResource { id: 0, kind: Kind::Other, place: NOWHERE };
const NOTHING_DONE: Done = Done { resource: 0, may_move: true };

/// One thread's memory. It serves one recorder at a time: a change of recorder starts it afresh.
pub(super) struct Here {
    owner: Cell<u32>,
    depth: Cell<usize>,
    /// The outermost span that is kept; further out they were overwritten.
    known_from: Cell<usize>,
    spans: [Cell<u64>; DEPTH],
    pub(super) operation: Cell<NewOperation>,
    pub(super) resource: Cell<NewResource>,
    done: Cell<Done>,
    /// The timer that has said in this poll that it has budget left, and not yet whether it is over.
    pub(super) polling: Cell<u64>,
    thread: Cell<u64>,
    /// The recorder that knows this thread's name.
    pub(super) known_to: Cell<u32>,
    /// The registry is being asked what it would do without this layer.
    pub(super) asking: Cell<bool>,
    /// Lens is creating a lock to see whether the layer works.
    pub(super) is_probing: Cell<bool>,
    /// How many resources this thread created that the layer has seen.
    pub(super) seen: Cell<u64>,
}

impl Here {
    const fn new() -> Self {
        Self {
            owner: Cell::new(0),
            depth: Cell::new(0),
            known_from: Cell::new(0),
            spans: [const { Cell::new(0) }; DEPTH],
            operation: Cell::new(NO_OPERATION),
            resource: Cell::new(NO_RESOURCE),
            done: Cell::new(NOTHING_DONE),
            polling: Cell::new(0),
            thread: Cell::new(0),
            known_to: Cell::new(0),
            asking: Cell::new(false),
            is_probing: Cell::new(false),
            seen: Cell::new(0),
        }
    }

    /// Calls `act` with the calling thread's memory, as the recorder `owner` left it.
    #[inline]
    pub(super) fn with<R>(owner: u32, act: impl FnOnce(&Self) -> R) -> R {
        HERE.with(|here| {
            if here.owner.get() != owner {
                here.start_afresh(owner);
            }
            act(here)
        })
    }

    /// Calls `act` with what does not depend on a recorder.
    pub(super) fn of_any<R>(act: impl FnOnce(&Self) -> R) -> R {
        HERE.with(act)
    }

    #[cold]
    fn start_afresh(&self, owner: u32) {
        self.owner.set(owner);
        self.depth.set(0);
        self.known_from.set(0);
        self.operation.set(NO_OPERATION);
        self.resource.set(NO_RESOURCE);
        self.done.set(NOTHING_DONE);
        self.polling.set(0);
    }

    /// The thread enters a span.
    #[inline]
    pub(super) fn enter(&self, span: u64) {
        let depth = self.depth.get();
        let known_from = self.known_from.get();
        if depth < known_from {
            self.known_from.set(depth);
        } else if depth - known_from >= DEPTH {
            self.known_from.set(depth + 1 - DEPTH);
        }
        self.spans[depth % DEPTH].set(span);
        self.depth.set(depth + 1);
    }

    /// The thread leaves a span, if it was entered.
    #[inline]
    pub(super) fn exit(&self, span: u64) {
        if self.span(0) == span {
            self.depth.set(self.depth.get() - 1);
        } else {
            self.exit_out_of_order(span);
        }
    }

    /// Spans are left out of order by code that keeps guards across others' scopes.
    #[cold]
    fn exit_out_of_order(&self, span: u64) {
        let (depth, known_from) = (self.depth.get(), self.known_from.get());
        let at = |index: usize| &self.spans[index % DEPTH];
        if depth <= known_from {
            // It is one of those that were too deep to keep.
            self.depth.set(depth.saturating_sub(1));
        } else if let Some(index) = (known_from..depth).rev().find(|index| at(*index).get() == span) {
            for next in index + 1..depth {
                at(next - 1).set(at(next).get());
            }
            self.depth.set(depth - 1);
        }
    }

    /// The span that the thread is in, `outward` levels up; 0 for none, or for one that is not kept any more.
    #[inline]
    pub(super) fn span(&self, outward: usize) -> u64 {
        match self.depth.get().checked_sub(outward + 1) {
            Some(index) if index >= self.known_from.get() => self.spans[index % DEPTH].get(),
            _ => 0,
        }
    }

    /// Forgets the operation that was created last: it was polled.
    #[inline]
    pub(super) fn operation_was_polled(&self) {
        self.operation.set(NO_OPERATION);
    }

    /// The next guard of `resource` comes from an operation with that source.
    #[inline]
    pub(super) fn operation_is_done(&self, resource: u64, source: Source) {
        self.done.set(Done { resource, may_move: source.gives_movable_guard() });
    }

    /// Whether the guard of `resource` that was just acquired can leave its task.
    #[inline]
    pub(super) fn guard_may_move(&self, resource: u64) -> bool {
        let done = self.done.replace(NOTHING_DONE);
        done.resource != resource || done.may_move
    }

    /// Who acts: the task, or the thread outside of tasks.
    #[inline]
    pub(super) fn actor(&self) -> Actor {
        match tokio::task::try_id() {
            Some(id) => number_of(&id),
            None => self.thread(),
        }
    }

    #[inline]
    fn thread(&self) -> Actor {
        if self.thread.get() == 0 {
            self.thread.set(THREAD | THREADS.fetch_add(1, Ordering::Relaxed));
        }
        self.thread.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_can_be_left_out_of_order() {
        let here = Here::new();
        for span in [1, 2, 3] {
            here.enter(span);
        }
        here.exit(1);
        assert_eq!((here.span(0), here.span(1), here.span(2)), (3, 2, 0));
        here.exit(9);
        here.exit(3);
        here.exit(2);
        here.exit(2);
        assert_eq!(here.span(0), 0);
    }

    #[test]
    fn the_innermost_spans_are_kept_at_any_depth() {
        let here = Here::new();
        let deepest = 2 * DEPTH as u64;
        for span in 1..=deepest {
            here.enter(span);
        }
        assert_eq!((here.span(0), here.span(1)), (deepest, deepest - 1));
        assert_eq!(here.span(DEPTH), 0, "it was overwritten");
        for span in (1..=deepest).rev() {
            here.exit(span);
            let outer = if span > DEPTH as u64 + 1 { span - 1 } else { 0 };
            assert_eq!(here.span(0), outer, "what was overwritten is not taken for another");
            here.enter(99);
            assert_eq!(here.span(0), 99);
            here.exit(99);
        }
        here.enter(1);
        assert_eq!((here.span(0), here.span(1)), (1, 0));
    }
}
