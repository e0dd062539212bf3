//! Asks idle tasks where they wait. Separate from the skill because half of it runs in the service's threads.
//!
//! A task that was spawned with [`spawn`](crate::spawn()) is wrapped. To ask it is to raise its flag and wake it; it is
//! polled as usual then, and if it is pending, polled once more with tokio's leaf futures calling back instead of being
//! polled. Whoever does not answer is running, or has no worker that could poll it. This needs no lock of the runtime and
//! no help of its workers, so it cannot wedge them, and it works while some are blocked.

mod ask;
mod seats;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::flavour::trace;
use crate::stack::MAX_FRAMES;

pub(crate) use ask::{Busy, DEADLINE, Told, ask};
pub use seats::MAX_TRACED;
pub(crate) use seats::{Answer, SEATS};

use seats::Seat;

/// The most places at which one task is found to wait, as in a `join!` or a `select!`; more are counted.
pub(crate) const MAX_LEAVES: usize = 64;

/// Where a task waits: the return addresses of each leaf's stack, innermost first.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    pub(crate) stacks: Vec<Vec<u64>>,
    /// Leaves for which there was no room.
    pub(crate) left_out: u64,
}

impl Leaves {
    /// Adds a leaf. `walk` gives each address to the function that it gets, as long as that says true.
    #[allow(dead_code, reason = "builds that cannot trace don't call it")]
    pub(crate) fn add(&mut self, walk: impl FnOnce(&mut dyn FnMut(u64) -> bool)) {
        if self.stacks.len() == MAX_LEAVES {
            self.left_out += 1;
            return;
        }
        let mut addresses = Vec::with_capacity(MAX_FRAMES);
        walk(&mut |address| {
            addresses.push(address);
            addresses.len() < MAX_FRAMES
        });
        self.stacks.push(addresses);
    }
}

pin_project! {
    /// A task's future that can be asked where it waits.
    pub(crate) struct Traced<F> {
        #[pin]
        future: F,
        seat: Seat,
    }
}

impl<F> Traced<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future, seat: Seat::default() }
    }
}

impl<F: Future> Future for Traced<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if trace::IS_ON && this.seat.is_asked(context, size_of::<F>()) {
            return answer(this.seat, this.future, context);
        }
        this.future.poll(context)
    }
}

/// Polls, and answers.
#[cold]
#[inline(never)]
fn answer<F: Future>(seat: &Seat, mut future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    let ready = future.as_mut().poll(context);
    if ready.is_ready() {
        seat.answer(Answer::Ended);
        return ready;
    }
    let mut leaves = Leaves::default();
    let ready = trace::poll(future, context, &mut leaves);
    seat.answer(if ready.is_ready() { Answer::Ended } else { Answer::Waits(leaves) });
    ready
}
