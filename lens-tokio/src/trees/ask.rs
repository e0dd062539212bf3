//! Asks many tasks, a few at a time. Separate because it bounds what asking does to the service: how many are woken at
//! once, for how long, and by how many askers.

use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::Leaves;
use super::seats::{Answer, Entry, SEATS};

/// How many tasks are woken at once: a worker is through with them in about a millisecond.
const BATCH: usize = 64;

/// How long the answers of a batch are waited for before the next is asked.
const BATCH_TIME: Duration = Duration::from_millis(5);

/// How long tasks have to answer.
pub(crate) const DEADLINE: Duration = Duration::from_millis(250);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_micros(200);

/// What is known of a task that was to be asked.
#[derive(Debug)]
pub(crate) enum Told {
    /// It waits.
    Waits(Leaves),
    /// It has ended meanwhile.
    Ended,
    /// It did not answer in time.
    Silent,
    /// It cannot be asked.
    Untraced,
}

/// Somebody else is asking.
#[derive(Debug)]
pub(crate) struct Busy;

/// Asks tasks where they wait, and gives an answer for each.
///
/// Cost: each is polled two more times, and its stack walked; the caller waits for [`DEADLINE`] at most.
///
/// # Errors
///
/// Somebody else is asking: an entry has one answer.
pub(crate) fn ask(tasks: &[u64]) -> Result<Vec<Told>, Busy> {
    static ASKING: Mutex<()> = Mutex::new(());
    let _alone = match ASKING.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
        Err(TryLockError::WouldBlock) => return Err(Busy),
    };
    let deadline = Instant::now() + DEADLINE;
    let entries: Vec<Option<Arc<Entry>>> = tasks.iter().map(|&task| SEATS.get(task)).collect();
    let mut told: Vec<Told> =
        entries.iter().map(|entry| if entry.is_some() { Told::Silent } else { Told::Untraced }).collect();
    for (entries, told) in entries.chunks(BATCH).zip(told.chunks_mut(BATCH)) {
        if Instant::now() >= deadline {
            break;
        }
        entries.iter().flatten().for_each(|entry| entry.ask());
        collect(entries, told, deadline.min(Instant::now() + BATCH_TIME));
    }
    collect(&entries, &mut told, deadline);
    entries.iter().flatten().for_each(|entry| entry.give_up());
    Ok(told)
}

/// Takes what answers come until all have, or until `deadline`.
fn collect(entries: &[Option<Arc<Entry>>], told: &mut [Told], deadline: Instant) {
    loop {
        let mut is_open = false;
        for (entry, told) in entries.iter().zip(told.iter_mut()) {
            if let (Some(entry), Told::Silent) = (entry, &told) {
                match entry.take_answer() {
                    Some(Answer::Waits(leaves)) => *told = Told::Waits(leaves),
                    Some(Answer::Ended) => *told = Told::Ended,
                    None => is_open = true,
                }
            }
        }
        if !is_open || Instant::now() >= deadline {
            return;
        }
        thread::sleep(LOOK);
    }
}
