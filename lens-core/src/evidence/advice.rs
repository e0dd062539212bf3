//! What to do about each cause, where no check says it better. Separate because a remedy is never taken from a model.

use super::Cause;

impl Cause {
    /// What to do about it, in general.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AllocChurn => "allocate less in the loop: reuse buffers, or keep what is made again and again",
            Self::BlockingCall => "use the async counterpart, or move the call to spawn_blocking",
            Self::BlockingPoolExhausted => "bound what is handed to spawn_blocking, or raise max_blocking_threads",
            Self::BusyLoop => "wait for a wake instead of waking in each poll",
            Self::CpuHog => "move the computation to spawn_blocking or a thread pool, or yield in between",
            Self::CpuThrottled => "raise the CPU quota, or start fewer workers than the quota has cores",
            Self::Deadlock => "take the locks in one order everywhere, and hold none across an await",
            Self::DownstreamSlow => "set a timeout, and bound how many requests wait for the downstream",
            Self::ErrorBurst => "look at the place that reports the errors",
            Self::FdLeak => "close what is opened; look for responses and files that are kept",
            Self::Fragmentation => "look at what the arenas keep; free or reuse long-lived blocks together",
            Self::HeapLeak => "look at who allocates what stays: heap profiles name the line",
            Self::LockConvoy => "hold the lock for less time, or split what it protects",
            Self::LogStorm => "log less at that place, or sample it",
            Self::LostWakeup => "look at how the task registers its waker and who is to wake it",
            Self::MemoryLimit => "raise the limit, or find what grows",
            Self::NoProgress => "find the task that keeps the worker",
            Self::PanicLoop => "look at the place that panics",
            Self::PoolExhausted => "give connections or permits back sooner, or enlarge the pool",
            Self::QueueGrowth => "bound the queue, or make whoever takes from it faster",
            Self::RetryStorm => "wait between tries, longer each time, and give up some day",
            Self::ScheduleDelay => "find what keeps the workers",
            Self::SlowConsumer => "make whoever takes from the queue faster, or start more of them",
            Self::SlowQuery => "look at the query's plan",
            Self::TaskLeak => "end the tasks: keep their handles, or give them a timeout",
            Self::TimerStorm => "use fewer timers, or longer intervals",
            Self::Other => "look at what the facts name",
        }
    }
}
