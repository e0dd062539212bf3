//! Investigations that are to follow others. Separate because a schedule outlives the investigation that made it, and can be
//! listed and cancelled until it runs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowUp {
    /// How long until then.
    pub delay: Duration,
    /// Why, in the model's words.
    pub reason: String,
    /// How many will have followed each other.
    pub chain_depth: u32,
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
    waiting: Mutex<(u64, Vec<Scheduled>)>,
}

impl Schedules {
    /// Adds what is to follow the investigation `follows`, unless [`MAX_SCHEDULES`] wait already.
    pub fn add(&self, follow_up: &FollowUp, follows: &str) -> Option<Scheduled> {
        let mut waiting = self.lock();
        if waiting.1.len() >= MAX_SCHEDULES {
            return None;
        }
        waiting.0 += 1;
        let scheduled = Scheduled {
            id: format!("next-{}", waiting.0),
            due_at: Timestamp::now().plus(follow_up.delay),
            reason: follow_up.reason.clone(),
            follows: follows.to_owned(),
            chain_depth: follow_up.chain_depth,
        };
        waiting.1.push(scheduled.clone());
        Some(scheduled)
    }

    /// Those that wait, the one that was scheduled first in front.
    #[must_use]
    pub fn list(&self) -> Vec<Scheduled> {
        self.lock().1.clone()
    }

    /// Takes one out, to run it or to cancel it; none if that happened already.
    pub fn take(&self, id: &str) -> Option<Scheduled> {
        let mut waiting = self.lock();
        let position = waiting.1.iter().position(|scheduled| scheduled.id == id)?;
        Some(waiting.1.remove(position))
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Scheduled>)> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
