//! Investigations that are to follow others. Separate because a schedule outlives the investigation that made it, and can be
//! listed and cancelled until it runs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::Order;
use crate::store::Store;
use crate::time::Timestamp;

/// 10 s before a following investigation at least.
pub const MIN_DELAY: Duration = Duration::from_secs(10);

/// 1 h before a following investigation at most.
pub const MAX_DELAY: Duration = Duration::from_secs(3_600);

/// 3 investigations may follow one by one; the last one cannot schedule another.
pub const MAX_CHAIN_DEPTH: u32 = 3;

/// 16 schedules at once.
pub const MAX_SCHEDULES: usize = 16;

/// An investigation that a model wants to follow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FollowUp {
    /// How long until then.
    pub delay: Duration,
    /// What is to follow: with the strategy, the budget and the skills of the one that it follows, the model's reason, and
    /// what that one found, without free text that is not shared.
    pub order: Order,
}

/// An investigation that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Scheduled {
    /// What to cancel it by.
    pub id: String,
    /// When it begins.
    pub due_at: Timestamp,
    /// Why, in the model's words.
    pub reason: String,
    /// The investigation that it follows.
    pub follows: String,
    /// How many will have followed each other.
    pub chain_depth: u32,
}

/// Those that wait.
#[derive(Debug, Default)]
pub struct Schedules {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// How many there were, for their ids.
    count: u64,
    refused: u64,
    list: Vec<Scheduled>,
}

impl Schedules {
    /// Adds what is to follow the investigation `follows`, unless [`MAX_SCHEDULES`] wait already.
    pub fn add(&self, follow_up: &FollowUp, follows: &str) -> Option<Scheduled> {
        let mut waiting = self.lock();
        if waiting.list.len() >= MAX_SCHEDULES {
            waiting.refused += 1;
            return None;
        }
        waiting.count += 1;
        let scheduled = Scheduled {
            id: format!("next-{}", waiting.count),
            due_at: Timestamp::now().plus(follow_up.delay),
            reason: follow_up.order.reason.clone(),
            follows: follows.to_owned(),
            chain_depth: follow_up.order.chain_depth,
        };
        waiting.list.push(scheduled.clone());
        Some(scheduled)
    }

    /// Those that wait, the one that was scheduled first in front.
    #[must_use]
    pub fn list(&self) -> Vec<Scheduled> {
        self.lock().list.clone()
    }

    /// Takes one out, to run it or to cancel it; none if that happened already.
    pub fn take(&self, id: &str) -> Option<Scheduled> {
        let mut waiting = self.lock();
        let position = waiting.list.iter().position(|scheduled| scheduled.id == id)?;
        Some(waiting.list.remove(position))
    }

    /// How many wait, and how many were refused.
    #[must_use]
    pub fn store(&self) -> Store {
        let waiting = self.lock();
        let bytes = |scheduled: &Scheduled| {
            size_of::<Scheduled>() + scheduled.id.len() + scheduled.reason.len() + scheduled.follows.len()
        };
        Store {
            name: "schedules".into(),
            len_count: waiting.list.len() as u64,
            cap_count: MAX_SCHEDULES as u64,
            memory_bytes: waiting.list.iter().map(bytes).sum::<usize>() as u64,
            dropped_total: waiting.refused,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
