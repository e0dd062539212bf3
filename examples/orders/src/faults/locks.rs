//! Faults of tasks that wait for each other.

use std::sync::Arc;

use tokio::sync::{Barrier, Mutex};

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault, traffic};
use crate::payment;

const SECOND_LOCK: Place = here!("deadlock" in "locks.rs");
const THERE: Place = here!("deadlock there" in "locks.rs");
const BACK: Place = here!("deadlock back" in "locks.rs");
const PERMIT: Place = here!("semaphore_exhausted" in "locks.rs");
const HOLDER: Place = here!("semaphore_exhausted task" in "locks.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "deadlock",
        about: "two tasks lock two tokio::sync::Mutex, one in the order A, B and the other B, A",
        truth: Truth { cause: Cause::Deadlock, place: SECOND_LOCK, also: &[], spawned_at: &[THERE, BACK] },
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: None,
        count: Bound::new(1, 1),
        unit: "deadlocks",
        start: deadlock,
    },
    Fault {
        name: "semaphore_exhausted",
        about: "a task takes the permits for payments and keeps them; payments wait in vain for their turn",
        truth: Truth { cause: Cause::PoolExhausted, place: PERMIT, also: &[], spawned_at: &[HOLDER] },
        removable: true,
        seconds: Bound::new(300, 3_600),
        rate: None,
        count: Bound::new(payment::PERMITS as u64, payment::PERMITS as u64),
        unit: "permits taken",
        start: |context| {
            traffic::pay(&context);
            tokio::spawn(keep_permits(context)); // here: semaphore_exhausted task
        },
    },
];

/// Pieces of an article in one warehouse.
type Stock = Mutex<u64>;

fn deadlock(context: Context) {
    let (north, south) = (Arc::new(Stock::new(100)), Arc::new(Stock::new(100)));
    let both_hold_one = Arc::new(Barrier::new(2));
    context.add();
    let there = transfer(context.clone(), Arc::clone(&north), Arc::clone(&south), Arc::clone(&both_hold_one));
    let back = transfer(context, south, north, both_hold_one);
    tokio::spawn(there); // here: deadlock there
    tokio::spawn(back); // here: deadlock back
}

/// Moves a piece from one warehouse to another. Two transfers in opposite directions wait for each other for ever; the
/// barrier makes sure that they meet.
async fn transfer(context: Context, from: Arc<Stock>, to: Arc<Stock>, both_hold_one: Arc<Barrier>) {
    let moved = async {
        let mut from = from.lock().await;
        both_hold_one.wait().await;
        let mut to = to.lock().await; // here: deadlock
        *from -= 1;
        *to += 1;
    };
    context.until_over(moved).await;
}

async fn keep_permits(context: Context) {
    let permits = Arc::clone(&context.app().payment.permits);
    let mut kept = Vec::new();
    for _ in 0..context.count() {
        let permit = Arc::clone(&permits).acquire_owned(); // here: semaphore_exhausted
        kept.extend(context.until_over(permit).await);
        context.add();
    }
    context.over().await;
}
