//! Which cause makes which other. Separate because these are claims about tokio, jemalloc and Linux that a reader may want
//! to check, each with its reason; how they are applied is next door.

use super::Cause;

/// One cause that may explain another.
pub(super) struct Rule {
    pub(super) cause: Cause,
    pub(super) effect: Cause,
    /// Whether they must be about the same task, spawn place or resource; otherwise it is enough that both are there.
    pub(super) needs_common_subject: bool,
    /// The sentence that says why.
    pub(super) because: &'static str,
}

const fn anywhere(cause: Cause, effect: Cause, because: &'static str) -> Rule {
    Rule { cause, effect, needs_common_subject: false, because }
}

const fn in_common(cause: Cause, effect: Cause, because: &'static str) -> Rule {
    Rule { cause, effect, needs_common_subject: true, because }
}

/// Better explanations come first: of two causes that may explain an effect, the earlier rule wins.
pub(super) const RULES: &[Rule] = &[
    // What keeps a worker keeps everything that waits for it.
    anywhere(Cause::BlockingCall, Cause::NoProgress, "a worker whose task waits in a system call publishes nothing"),
    anywhere(Cause::CpuHog, Cause::NoProgress, "a worker whose task computes publishes nothing"),
    anywhere(
        Cause::BlockingCall,
        Cause::ScheduleDelay,
        "while a task keeps a worker, tasks that are ready wait for it",
    ),
    anywhere(Cause::CpuHog, Cause::ScheduleDelay, "while a task computes, tasks that are ready wait for its worker"),
    anywhere(Cause::BusyLoop, Cause::ScheduleDelay, "a task that is always ready takes turns from the others"),
    anywhere(Cause::CpuThrottled, Cause::ScheduleDelay, "a process that is kept from running polls nothing"),
    anywhere(Cause::CpuThrottled, Cause::NoProgress, "a process that is kept from running publishes nothing"),
    anywhere(Cause::TimerStorm, Cause::ScheduleDelay, "each timer that fires makes a task ready"),
    anywhere(Cause::RetryStorm, Cause::ScheduleDelay, "requests that are sent without a pause keep the workers busy"),
    anywhere(Cause::LogStorm, Cause::ScheduleDelay, "writing each event takes time of the worker that logs it"),
    anywhere(Cause::NoProgress, Cause::ScheduleDelay, "a worker without progress polls nothing else"),
    // A lock or a permit is held for as long as its holder is kept.
    in_common(Cause::BlockingCall, Cause::LockConvoy, "the holder of the lock blocks its worker"),
    in_common(Cause::CpuHog, Cause::LockConvoy, "the holder of the lock computes"),
    in_common(Cause::Deadlock, Cause::LockConvoy, "the lock is one of the deadlock, and will never be free"),
    in_common(Cause::Deadlock, Cause::PoolExhausted, "the permits are held by tasks that wait for each other"),
    in_common(Cause::DownstreamSlow, Cause::PoolExhausted, "permits are held for as long as the answer takes"),
    in_common(Cause::DownstreamSlow, Cause::LockConvoy, "the lock is held for as long as the answer takes"),
    in_common(Cause::PoolExhausted, Cause::SlowConsumer, "the consumer waits for a permit"),
    in_common(Cause::LockConvoy, Cause::SlowConsumer, "the consumer waits for a lock"),
    // What piles up takes memory.
    anywhere(Cause::QueueGrowth, Cause::HeapLeak, "what waits in a queue is kept in memory"),
    anywhere(Cause::TaskLeak, Cause::HeapLeak, "each task keeps its memory until it ends"),
    in_common(Cause::HeapLeak, Cause::AllocChurn, "the same tasks allocate what is kept"),
    anywhere(Cause::HeapLeak, Cause::MemoryLimit, "the heap is what fills the memory"),
    anywhere(Cause::TaskLeak, Cause::MemoryLimit, "tasks that never end fill the memory"),
    anywhere(Cause::QueueGrowth, Cause::MemoryLimit, "what waits in a queue fills the memory"),
    anywhere(Cause::Fragmentation, Cause::MemoryLimit, "memory that is free cannot be given back"),
    // Requests that wait keep their connections.
    anywhere(Cause::BlockingPoolExhausted, Cause::FdLeak, "requests that wait for the pool keep their connections"),
    anywhere(Cause::DownstreamSlow, Cause::FdLeak, "requests that wait for the answer keep their connections"),
    anywhere(Cause::PoolExhausted, Cause::FdLeak, "requests that wait for a permit keep their connections"),
    // Errors and panics follow from what fails.
    in_common(Cause::PanicLoop, Cause::BlockingCall, "a panic is reported, with its stack, while the task is polled"),
    in_common(Cause::PanicLoop, Cause::CpuHog, "a panic is reported, with its stack, while the task is polled"),
    in_common(Cause::PanicLoop, Cause::ErrorBurst, "the same code panics and logs it"),
    in_common(Cause::ErrorBurst, Cause::LogStorm, "the events are the errors"),
    in_common(Cause::RetryStorm, Cause::ErrorBurst, "each attempt that fails is logged"),
    in_common(Cause::BusyLoop, Cause::CpuHog, "the same task keeps its worker busy"),
    in_common(Cause::RetryStorm, Cause::AllocChurn, "each request is made anew"),
    in_common(Cause::LogStorm, Cause::AllocChurn, "each event is made anew"),
    in_common(Cause::BlockingCall, Cause::BlockingPoolExhausted, "the calls wait in the same place"),
];
