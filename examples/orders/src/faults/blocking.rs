//! Faults that keep the runtime's threads from other work by waiting on them.

use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};

const SLEEP: Place = here!("blocking_call" in "blocking.rs");
const ONE: Place = here!("blocking_call task" in "blocking.rs");
const EVERY: Place = here!("all_blocked task" in "blocking.rs");
const EXPORT: Place = here!("blocking_pool_exhausted" in "blocking.rs");
const ON_POOL: Place = here!("blocking_pool_exhausted task" in "blocking.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "blocking_call",
        about: "a task calls std::thread::sleep, and with it a worker of the runtime is gone",
        truth: Truth::new(Cause::BlockingCall, SLEEP).spawned_at(&[ONE]),
        removable: true,
        seconds: Bound::new(60, 600),
        rate: None,
        count: Bound::new(1, 1),
        unit: "blocked workers",
        start: |context| context.outside(block_one),
    },
    Fault {
        name: "all_blocked",
        about: "as many tasks as there are workers call std::thread::sleep: nothing else runs",
        truth: Truth::new(Cause::BlockingCall, SLEEP).spawned_at(&[EVERY]),
        removable: false,
        seconds: Bound::new(10, 60),
        rate: None,
        count: Bound::new(1, 1),
        unit: "runtimes of which all workers are blocked",
        start: |context| context.outside(block_every),
    },
    Fault {
        name: "blocking_pool_exhausted",
        about: "more calls of spawn_blocking wait than the runtime has threads for them (512)",
        truth: Truth::new(Cause::BlockingPoolExhausted, EXPORT).also(&[ON_POOL]).spawned_at(&[ON_POOL]),
        removable: true,
        seconds: Bound::new(120, 600),
        rate: None,
        count: Bound::new(600, 1_000),
        unit: "blocking calls under way",
        start: export_all,
    },
];

/// How long one call blocks; a fault that is ended lasts so much longer.
const SLICE: Duration = Duration::from_millis(100);

async fn block(context: Context) {
    while !context.is_over() {
        thread::sleep(SLICE); // here: blocking_call
    }
}

fn block_one(context: Context, runtime: Handle) {
    context.add();
    runtime.spawn(block(context.clone())); // here: blocking_call task
    // If the blocked worker is the one that waited for sockets and timers, the others learn of it only when they run
    // out of work, so they are given some: one blocked worker is to be one, not all.
    while !context.is_over() {
        thread::sleep(SLICE);
        runtime.spawn(async {});
    }
}

fn block_every(context: Context, runtime: Handle) {
    context.add();
    for _ in 0..runtime.metrics().num_workers() {
        runtime.spawn(block(context.clone())); // here: all_blocked task
    }
}

fn export_all(context: Context) {
    for _ in 0..context.count() {
        let (context, runtime) = (context.clone(), Handle::current());
        tokio::task::spawn_blocking(move || export(&context, &runtime)); // here: blocking_pool_exhausted task
    }
}

/// Waits on a thread of the blocking pool for something asynchronous, which comes only when the fault ends.
fn export(context: &Context, runtime: &Handle) {
    context.add();
    runtime.block_on(context.over()); // here: blocking_pool_exhausted
}
