//! Polls a future so that it tells where it is suspended: tokio's leaf futures call back instead of being polled.
//!
//! Only addresses are taken, in the thread of the service: a few microseconds a leaf. Functions and lines are found later,
//! in a thread of lens's. The frame that polls is kept, because a release build inlines the task's own code into it.
#![expect(unsafe_code, reason = "walking the own stack without the lock of the crate `backtrace`")]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use lens_core::Reading;
use tokio::runtime::dump::trace_with;

use crate::trees::Leaves;

/// Whether futures can be traced.
pub(crate) const IS_ON: bool = true;

/// Whether futures can be traced.
#[expect(clippy::unnecessary_wraps, reason = "other builds cannot")]
pub(crate) fn reading() -> Reading<()> {
    Ok(())
}

/// Polls, and notes the stack of each leaf that would be polled. Every leaf is pending then, and polled again soon.
#[inline(never)]
pub(crate) fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>, leaves: &mut Leaves) -> Poll<F::Output> {
    let marker = 0_u8;
    let own_frame = std::ptr::from_ref(&marker).addr();
    trace_with(|| future.poll(context), |_| leaves.add(|addresses| walk(own_frame, addresses)))
}

/// Walks the stack of the calling thread up to the frame that called the one which `own_frame` is in.
fn walk(own_frame: usize, addresses: &mut dyn FnMut(u64) -> bool) {
    let next = |frame: &backtrace::Frame| addresses(frame.ip().addr() as u64) && frame.sp().addr() <= own_frame;
    // SAFETY: the lock that this goes without is for platforms whose unwinder has state of the process; the one of Linux
    // has none. The crate's symbols, which have, are not touched here.
    unsafe { backtrace::trace_unsynchronized(next) };
}
