//! Faults that use up the processor: work that does not yield, and tasks that wake for nothing.

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::{task, time};

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};

const COMPARES: Place = here!("cpu_hog" in "cpu.rs");
const COMPARING: Place = here!("cpu_hog loop" in "cpu.rs");
const HOG: Place = here!("cpu_hog task" in "cpu.rs");
const WAKES: Place = here!("busy_loop" in "cpu.rs");
const WAKER: Place = here!("busy_loop task" in "cpu.rs");
const SLEEPS: Place = here!("timer_storm" in "cpu.rs");
const SLEEPER: Place = here!("timer_storm task" in "cpu.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "cpu_hog",
        about: "a task computes for half a second at a time before it yields",
        truth: Truth::new(Cause::CpuHog, COMPARES).also(&[COMPARING]).spawned_at(&[HOG]),
        removable: true,
        seconds: Bound::new(120, 600),
        rate: None,
        count: Bound::new(1, 1),
        unit: "tasks that compute",
        start: |context| drop(tokio::spawn(compare_prices(context))), // here: cpu_hog task
    },
    Fault {
        name: "busy_loop",
        about: "a task wakes itself in each poll and is never done",
        truth: Truth::new(Cause::BusyLoop, WAKES).spawned_at(&[WAKER]),
        removable: true,
        seconds: Bound::new(120, 600),
        rate: None,
        count: Bound::new(1, 1),
        unit: "tasks that wake themselves",
        start: |context| drop(tokio::spawn(ask_again(context))), // here: busy_loop task
    },
    Fault {
        name: "timer_storm",
        about: "many tasks sleep for a millisecond at a time",
        truth: Truth::new(Cause::TimerStorm, SLEEPS).spawned_at(&[SLEEPER]),
        removable: true,
        seconds: Bound::new(120, 600),
        rate: None,
        count: Bound::new(200, 2_000),
        unit: "tasks that sleep",
        start: tick_all,
    },
];

/// How long the hog computes before it yields.
const WITHOUT_YIELD: Duration = Duration::from_millis(500);

async fn compare_prices(context: Context) {
    context.add();
    while !context.is_over() {
        compare(WITHOUT_YIELD); // here: cpu_hog
        task::yield_now().await;
    }
}

/// Computes for so long. Never inlined, so that a stack shows it.
#[inline(never)]
fn compare(lasts: Duration) {
    let started = Instant::now();
    let mut sum = 1_u64;
    while started.elapsed() < lasts {
        sum = black_box((0..10_000).fold(sum, |sum, price| sum.rotate_left(5) ^ price)); // here: cpu_hog loop
    }
}

async fn ask_again(context: Context) {
    context.add();
    let answered = poll_fn(|task| {
        if context.is_over() {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref(); // here: busy_loop
        Poll::Pending
    });
    answered.await;
}

fn tick_all(context: Context) {
    for _ in 0..context.count() {
        tokio::spawn(tick(context.clone())); // here: timer_storm task
    }
}

async fn tick(context: Context) {
    context.add();
    while !context.is_over() {
        time::sleep(Duration::from_millis(1)).await; // here: timer_storm
    }
}
