//! Faults of tasks that wait for each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Barrier, Mutex};
use tokio::time;

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault, traffic};
use crate::payment;

const SECOND_LOCK: Place = here!("deadlock" in "locks.rs");
const THERE: Place = here!("deadlock there" in "locks.rs");
const BACK: Place = here!("deadlock back" in "locks.rs");
const NORTH: Place = here!("deadlock north" in "locks.rs");
const SOUTH: Place = here!("deadlock south" in "locks.rs");
const LEDGER: Place = here!("lock_convoy ledger" in "locks.rs");
const CONVOY: Place = here!("lock_convoy" in "locks.rs");
const CONVOY_TASK: Place = here!("lock_convoy task" in "locks.rs");
const PERMIT: Place = here!("semaphore_exhausted" in "locks.rs");
const HOLDER: Place = here!("semaphore_exhausted task" in "locks.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "deadlock",
        about: "two tasks lock two tokio::sync::Mutex, one in the order A, B and the other B, A",
        truth: Truth::new(Cause::Deadlock, SECOND_LOCK).spawned_at(&[THERE, BACK]).created_at(&[NORTH, SOUTH]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: None,
        count: Bound::new(1, 1),
        unit: "deadlocks",
        start: deadlock,
    },
    Fault {
        name: "lock_convoy",
        about: "many tasks want one tokio::sync::Mutex, which each keeps while it waits for something slow",
        truth: Truth::new(Cause::LockConvoy, CONVOY).spawned_at(&[CONVOY_TASK]).created_at(&[LEDGER]),
        removable: true,
        seconds: Bound::new(300, 3_600),
        rate: None,
        count: Bound::new(100, 1_000),
        unit: "tasks",
        start: convoy,
    },
    Fault {
        name: "semaphore_exhausted",
        about: "a task takes the permits for payments and keeps them; payments wait in vain for their turn",
        truth: Truth::new(Cause::PoolExhausted, PERMIT).spawned_at(&[HOLDER]).created_at(&[payment::PERMITS_CREATED]),
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
    let north = Arc::new(Stock::new(100)); // here: deadlock north
    let south = Arc::new(Stock::new(100)); // here: deadlock south
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

/// How long it takes to write the ledger.
const WRITING: Duration = Duration::from_millis(5);

fn convoy(context: Context) {
    let ledger = Arc::new(Mutex::new(0)); // here: lock_convoy ledger
    for _ in 0..context.count() {
        context.add();
        tokio::spawn(write_ledger(context.clone(), Arc::clone(&ledger))); // here: lock_convoy task
    }
}

async fn write_ledger(context: Context, ledger: Arc<Mutex<u64>>) {
    let write = async {
        loop {
            let mut ledger = ledger.lock().await; // here: lock_convoy
            time::sleep(WRITING).await;
            *ledger += 1;
        }
    };
    context.until_over::<()>(write).await;
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
