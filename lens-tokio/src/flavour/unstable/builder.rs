//! The builder's methods that only unstable tokio has.

use std::sync::Arc;

use tokio::runtime::{HistogramConfiguration, RngSeed, TaskMeta, UnhandledPanic};

use crate::builder::Builder;

/// What only `--cfg tokio_unstable` has.
impl Builder {
    /// Calls `hook` for each task that is spawned, after lens's own hook.
    pub fn on_task_spawn<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.tasks.spawn = Some(Arc::new(hook));
        self.install()
    }

    /// Calls `hook` before each poll, before lens's own hook.
    pub fn on_before_task_poll<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.tasks.before_poll = Some(Arc::new(hook));
        self.install()
    }

    /// Calls `hook` after each poll, after lens's own hook.
    pub fn on_after_task_poll<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.tasks.after_poll = Some(Arc::new(hook));
        self.install()
    }

    /// Calls `hook` for each task that ends, after lens's own hook.
    pub fn on_task_terminate<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.hooks.tasks.terminate = Some(Arc::new(hook));
        self.install()
    }

    /// What the runtime does when a task panics.
    pub fn unhandled_panic(&mut self, behavior: UnhandledPanic) -> &mut Self {
        self.with(|inner| inner.unhandled_panic(behavior))
    }

    /// Disables the slot in which a worker keeps the task that was woken last.
    pub fn disable_lifo_slot(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::disable_lifo_slot)
    }

    /// Seeds the runtime's random numbers.
    pub fn rng_seed(&mut self, seed: RngSeed) -> &mut Self {
        self.with(|inner| inner.rng_seed(seed))
    }

    /// Uses the alternative timer.
    pub fn enable_alt_timer(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::enable_alt_timer)
    }

    /// Hands the I/O and time drivers over to another worker before tasks are polled.
    pub fn enable_eager_driver_handoff(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::enable_eager_driver_handoff)
    }

    /// Uses the sharded queue for the blocking pool.
    pub fn enable_sharded_blocking_queue(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::enable_sharded_blocking_queue)
    }

    /// Has tokio keep a histogram of poll times. Cost: two readings of the clock a poll, about 50 ns.
    pub fn enable_metrics_poll_time_histogram(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::enable_metrics_poll_time_histogram)
    }

    /// The buckets of the histogram of poll times.
    pub fn metrics_poll_time_histogram_configuration(&mut self, configuration: HistogramConfiguration) -> &mut Self {
        self.with(|inner| inner.metrics_poll_time_histogram_configuration(configuration))
    }
}
