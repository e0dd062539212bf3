//! tokio-console's five lints. Separate because they are the same over this process's state and over another one's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::{Activity, Task, TaskKind};
use super::{LARGE_FUTURE_BYTES, NEVER_YIELDED, SELF_WAKES_RATIO};
use lens_core::time::millis;

/// What may be wrong with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lint {
    /// More than half of its wakes come from its own polls: it may be a busy loop.
    SelfWakes,
    /// Nobody can wake it: there is no waker of it, and it was not woken.
    LostWaker,
    /// Its first poll has lasted for a second.
    NeverYielded,
    /// tokio put its future in a box, because it is large.
    AutoBoxedFuture,
    /// Its future has 1 KiB or more.
    LargeFuture,
}

impl Lint {
    pub(super) const ALL: [Self; 5] =
        [Self::LostWaker, Self::NeverYielded, Self::SelfWakes, Self::AutoBoxedFuture, Self::LargeFuture];

    /// What a task may suffer from, the gravest first.
    pub(super) fn of(task: &Task) -> Vec<Self> {
        if task.is_internal || task.activity == Activity::Ended {
            return Vec::new();
        }
        Self::ALL.into_iter().filter(|lint| lint.applies_to(task)).collect()
    }

    fn applies_to(self, task: &Task) -> bool {
        let is_polled_by_a_scheduler = !matches!(task.kind, TaskKind::Blocking | TaskKind::BlockOn);
        match self {
            Self::SelfWakes => {
                is_polled_by_a_scheduler && task.wakes > 0 && ratio(task.self_wakes, task.wakes) > SELF_WAKES_RATIO
            }
            Self::LostWaker => {
                is_polled_by_a_scheduler
                    && task.activity == Activity::Idle
                    && task.polls > 0
                    && !task.has_gap
                    && task.waker_clones == task.waker_drops
            }
            Self::NeverYielded => {
                task.kind != TaskKind::Blocking
                    && task.activity == Activity::Running
                    && task.polls <= 1
                    && task.busy_ms >= millis(NEVER_YIELDED)
            }
            Self::AutoBoxedFuture => task.boxed_from_bytes.is_some_and(|bytes| Some(bytes) != task.future_bytes),
            Self::LargeFuture => {
                task.kind != TaskKind::Blocking && task.future_bytes.is_some_and(|bytes| bytes >= LARGE_FUTURE_BYTES)
            }
        }
    }

    /// What was seen, as a sentence.
    pub(super) fn text(self, task: &Task) -> String {
        match self {
            Self::SelfWakes => format!("{} of its {} wakes came from its own polls", task.self_wakes, task.wakes),
            Self::LostWaker => "no waker of it is left, and it was not woken".to_owned(),
            Self::NeverYielded => format!("its first poll has lasted for {:.0} ms", task.busy_ms),
            Self::AutoBoxedFuture => {
                format!("its future has {} bytes, and was put in a box", task.boxed_from_bytes.unwrap_or_default())
            }
            Self::LargeFuture => format!("its future has {} bytes", task.future_bytes.unwrap_or_default()),
        }
    }

    /// Whether a task can be sound all the same.
    pub(super) fn is_suspected(self) -> bool {
        matches!(self, Self::LostWaker | Self::SelfWakes)
    }
}

/// A share of a number that is not zero.
#[expect(clippy::cast_precision_loss, reason = "2^53 wakes are out of reach")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
