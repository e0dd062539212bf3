//! The tasks that can be asked, by their ids. Separate because here the service's threads and lens's meet: a task takes its
//! seat in its first poll and leaves it when its future is dropped, under a lock that is held for one look-up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use lens_core::Store;

use super::Leaves;
use crate::instrument::number_of;

/// The most tasks that can be asked where they wait: those that came first. A task takes about 130 bytes.
pub const MAX_TRACED: usize = 65_536;

const SHARDS: usize = 32;

/// The seats of this process.
pub(crate) static SEATS: Seats = Seats::new();

/// What a task said.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It waits.
    Waits(Leaves),
    /// It has ended.
    Ended,
}

/// A task, for whoever asks it.
#[derive(Debug)]
pub(crate) struct Entry {
    task: u64,
    /// The size of the task's future.
    pub(crate) future_bytes: usize,
    is_asked: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Told {
    waker: Option<Waker>,
    answer: Option<Answer>,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, Told> {
        // Nothing panics while it is held.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the task; its next poll answers.
    pub(crate) fn ask(&self) {
        let mut told = self.lock();
        told.answer = None;
        let waker = told.waker.clone();
        drop(told);
        self.is_asked.store(true, Ordering::Release);
        // Outside of the lock: a waker runs the runtime's code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The answer, if it is there.
    pub(crate) fn take_answer(&self) -> Option<Answer> {
        self.lock().answer.take()
    }

    /// Does not want an answer any more.
    pub(crate) fn give_up(&self) {
        self.is_asked.store(false, Ordering::Release);
    }
}

/// A task's own end of its entry.
#[derive(Debug, Default)]
pub(crate) enum Seat {
    /// It was not polled yet.
    #[default]
    New,
    Taken(Arc<Entry>),
    /// There was no room.
    Refused,
}

impl Seat {
    /// Whether the task is to answer in this poll. Takes the seat in the first one.
    #[inline]
    pub(crate) fn is_asked(&mut self, context: &Context<'_>, future_bytes: usize) -> bool {
        match self {
            Self::Taken(entry) => entry.is_asked.load(Ordering::Relaxed),
            Self::Refused => false,
            Self::New => {
                self.take(context, future_bytes);
                false
            }
        }
    }

    #[cold]
    fn take(&mut self, context: &Context<'_>, future_bytes: usize) {
        *self = match tokio::task::try_id() {
            Some(id) => SEATS.take(number_of(&id), context.waker(), future_bytes),
            None => Self::Refused,
        };
    }

    /// Answers.
    pub(crate) fn answer(&self, answer: Answer) {
        if let Self::Taken(entry) = self
            && entry.is_asked.swap(false, Ordering::Acquire)
        {
            entry.lock().answer = Some(answer);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Self::Taken(entry) = self {
            SEATS.leave(entry.task);
            // The waker holds the task's memory, and an asker may keep the entry for a while.
            let waker = entry.lock().waker.take();
            drop(waker);
            self.answer(Answer::Ended);
        }
    }
}

type Shard = HashMap<u64, Arc<Entry>, BuildHasherDefault<DefaultHasher>>;

/// All entries.
#[derive(Debug)]
pub(crate) struct Seats {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
    refused: AtomicU64,
}

impl Seats {
    const fn new() -> Self {
        let shards = [const { Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) }; SHARDS];
        Self { shards, len: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }

    fn shard(&self, task: u64) -> MutexGuard<'_, Shard> {
        let [first, ..] = task.to_le_bytes();
        self.shards[usize::from(first) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, task: u64, waker: &Waker, future_bytes: usize) -> Seat {
        let room = |len: usize| (len < MAX_TRACED).then(|| len + 1);
        if self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Seat::Refused;
        }
        let told = Told { waker: Some(waker.clone()), answer: None };
        let entry = Arc::new(Entry { task, future_bytes, is_asked: AtomicBool::new(false), told: Mutex::new(told) });
        self.shard(task).insert(task, Arc::clone(&entry));
        Seat::Taken(entry)
    }

    fn leave(&self, task: u64) {
        if self.shard(task).remove(&task).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The entry of a task, if it has one.
    pub(crate) fn get(&self, task: u64) -> Option<Arc<Entry>> {
        self.shard(task).get(&task).cloned()
    }

    /// How many tasks can be asked.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// What the seats take.
    pub(crate) fn store(&self) -> Store {
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).capacity());
        // hashbrown keeps a byte beside each slot, and an eighth of the slots free.
        let slots = shards.sum::<usize>() * (size_of::<(u64, Arc<Entry>)>() + 1) * 8 / 7;
        let entries = self.len() * (size_of::<Entry>() + 2 * size_of::<usize>());
        Store {
            name: "tasks that can be asked where they wait".into(),
            len_count: self.len() as u64,
            cap_count: MAX_TRACED as u64,
            memory_bytes: (size_of_val(self) + slots + entries) as u64,
            dropped_total: self.refused.load(Ordering::Relaxed),
        }
    }
}
