//! The vocabulary of causes. Separate because it is closed: every finding of every check, of the service's own ones and of
//! models too, names one of these, so that reports can be compared, counted and correlated.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $title:literal;)*) => {
        /// Why a service is slow, stuck or growing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Cause {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Cause {
            /// Every cause there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word by which checks and programs call it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it is called in a headline.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

causes! {
    /// Memory is allocated and freed again at a rate that costs processor time.
    AllocChurn = "alloc_churn", "allocation churn";
    /// A task waits in a system call and keeps its worker.
    BlockingCall = "blocking_call", "blocking call in async code";
    /// More calls of `spawn_blocking` wait than the pool has threads.
    BlockingPoolExhausted = "blocking_pool_exhausted", "blocking pool exhausted";
    /// A task wakes itself in each poll, or polls without getting on.
    BusyLoop = "busy_loop", "busy loop";
    /// A task computes for long before it yields.
    CpuHog = "cpu_hog", "computation that does not yield";
    /// A quota of a control group keeps the process from running.
    CpuThrottled = "cpu_throttled", "CPU quota used up";
    /// Tasks wait for each other and none can go on.
    Deadlock = "deadlock", "deadlock";
    /// Something that is asked over the network answers late.
    DownstreamSlow = "downstream_slow", "slow downstream";
    /// One place reports errors again and again.
    ErrorBurst = "error_burst", "burst of errors";
    /// File descriptors are opened and not closed.
    FdLeak = "fd_leak", "leak of file descriptors";
    /// Free memory lies between live blocks and cannot be given back.
    Fragmentation = "fragmentation", "heap fragmentation";
    /// Memory is kept that nobody needs any more.
    HeapLeak = "heap_leak", "heap grows without end";
    /// Many tasks want one lock, which is held for long each time.
    LockConvoy = "lock_convoy", "lock convoy";
    /// One place logs so much that it costs the service time.
    LogStorm = "log_storm", "log storm";
    /// A task waits for a wake that cannot come any more.
    LostWakeup = "lost_wakeup", "lost wake-up";
    /// The memory that the process may use is nearly used up.
    MemoryLimit = "memory_limit", "memory limit nearly reached";
    /// Workers publish nothing, and which task keeps them is not known. A symptom.
    NoProgress = "no_progress", "workers without progress";
    /// One place panics again and again.
    PanicLoop = "panic_loop", "panic loop";
    /// Every permit or connection of a pool is taken, and tasks wait for one.
    PoolExhausted = "pool_exhausted", "pool exhausted";
    /// More comes into a queue than goes out.
    QueueGrowth = "queue_growth", "queue grows without end";
    /// Failed requests are sent again without a pause.
    RetryStorm = "retry_storm", "retry storm";
    /// Tasks that are ready wait for a worker. A symptom.
    ScheduleDelay = "schedule_delay", "tasks wait for a worker";
    /// Whoever takes from a bounded queue is too slow, and senders wait.
    SlowConsumer = "slow_consumer", "slow consumer";
    /// A database answers one query late.
    SlowQuery = "slow_query", "slow query";
    /// Tasks are spawned that never end.
    TaskLeak = "task_leak", "task leak";
    /// Timers fire so often that the runtime is busy with them.
    TimerStorm = "timer_storm", "timer storm";
    /// What only the service's own check knows; its name and summary say what.
    Other = "other", "reported by a check of the service";
}

impl Cause {
    /// Whether it is only ever the effect of another cause: an incident in which nothing else is found is not explained.
    #[must_use]
    pub const fn is_symptom(self) -> bool {
        matches!(self, Self::NoProgress | Self::ScheduleDelay)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_what_programs_read() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.word());
        }
    }
}
