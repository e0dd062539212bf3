//! `tokio::runtime` with lens's hooks: a [`Builder`] that stands in for tokio's, and everything else as tokio has it.
//! Separate because the facade re-exports it whole, where `#[tokio::main(crate = "lens")]` looks for it.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

pub use tokio::runtime::*;

use crate::instrument::{self, BUILDERS, BuilderNumber, Hooks};

/// tokio's [`Builder`](tokio::runtime::Builder), with the hooks from which lens knows tasks and threads.
///
/// The hooks are set as soon as the builder is made. Hooks that are set through this type are called besides lens's. It
/// has every method of tokio's builder; those that only some of tokio's features have (`start_paused`, `enable_io`) come
/// from tokio's builder itself, which this one dereferences to. A hook that is set after such a method, on tokio's own
/// type, replaces lens's.
///
/// # Examples
///
/// ```
/// use lens_tokio::builder::Builder;
///
/// let runtime = Builder::new_multi_thread().worker_threads(2).name("web").enable_all().build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Builder {
    pub(crate) inner: tokio::runtime::Builder,
    pub(crate) hooks: Hooks,
    number: BuilderNumber,
}

impl From<tokio::runtime::Builder> for Builder {
    /// Sets lens's hooks on a builder. Hooks that it has are replaced.
    fn from(inner: tokio::runtime::Builder) -> Self {
        let mut builder = Self { inner, hooks: Hooks::default(), number: BUILDERS.add() };
        builder.install();
        builder
    }
}

impl Builder {
    /// A builder of a runtime that runs all tasks in the thread that calls `block_on`.
    #[must_use]
    pub fn new_current_thread() -> Self {
        tokio::runtime::Builder::new_current_thread().into()
    }

    /// A builder of a runtime with worker threads.
    #[must_use]
    pub fn new_multi_thread() -> Self {
        tokio::runtime::Builder::new_multi_thread().into()
    }

    /// Enables the I/O and the time driver, as far as tokio was built with them.
    pub fn enable_all(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::enable_all)
    }

    /// Enables the time driver.
    pub fn enable_time(&mut self) -> &mut Self {
        self.with(tokio::runtime::Builder::enable_time)
    }

    /// The number of worker threads. Default: the number of cores, or `TOKIO_WORKER_THREADS`.
    ///
    /// # Panics
    ///
    /// `workers` is 0.
    pub fn worker_threads(&mut self, workers: usize) -> &mut Self {
        self.with(|inner| inner.worker_threads(workers))
    }

    /// The most threads of the blocking pool. Default: 512.
    ///
    /// # Panics
    ///
    /// `threads` is 0.
    pub fn max_blocking_threads(&mut self, threads: usize) -> &mut Self {
        self.with(|inner| inner.max_blocking_threads(threads))
    }

    /// The name of the runtime's threads.
    pub fn thread_name(&mut self, name: impl Into<String>) -> &mut Self {
        self.with(|inner| inner.thread_name(name))
    }

    /// The name of each of the runtime's threads.
    pub fn thread_name_fn<F>(&mut self, name: F) -> &mut Self
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        self.with(|inner| inner.thread_name_fn(name))
    }

    /// The name of the runtime, by which lens calls it too.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.with(|inner| inner.name(name))
    }

    /// The size of the threads' stacks in bytes.
    pub fn thread_stack_size(&mut self, bytes: usize) -> &mut Self {
        self.with(|inner| inner.thread_stack_size(bytes))
    }

    /// How long an idle thread of the blocking pool stays. Default: 10 s.
    pub fn thread_keep_alive(&mut self, duration: Duration) -> &mut Self {
        self.with(|inner| inner.thread_keep_alive(duration))
    }

    /// After how many ticks the scheduler looks into the global queue.
    ///
    /// # Panics
    ///
    /// `ticks` is 0.
    pub fn global_queue_interval(&mut self, ticks: u32) -> &mut Self {
        self.with(|inner| inner.global_queue_interval(ticks))
    }

    /// After how many ticks the scheduler looks for external events, and publishes its counters.
    ///
    /// # Panics
    ///
    /// `ticks` is 0.
    pub fn event_interval(&mut self, ticks: u32) -> &mut Self {
        self.with(|inner| inner.event_interval(ticks))
    }

    /// Calls `hook` in each thread that the runtime starts, after lens's own hook.
    pub fn on_thread_start<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_start = Some(Arc::new(hook));
        self.install()
    }

    /// Calls `hook` in each thread before it stops.
    pub fn on_thread_stop<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_stop = Some(Arc::new(hook));
        self.install()
    }

    /// Calls `hook` in a worker before it waits for work, before lens's own hook.
    pub fn on_thread_park<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_park = Some(Arc::new(hook));
        self.install()
    }

    /// Calls `hook` in a worker after it waited for work, after lens's own hook.
    pub fn on_thread_unpark<F>(&mut self, hook: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.hooks.thread_unpark = Some(Arc::new(hook));
        self.install()
    }

    /// Builds the runtime.
    ///
    /// # Errors
    ///
    /// A driver or another resource of the operating system cannot be had.
    pub fn build(&mut self) -> io::Result<Runtime> {
        let runtime = self.inner.build()?;
        BUILDERS.saw(self.number, runtime.handle());
        Ok(runtime)
    }

    /// Builds a runtime that stays in this thread, so that its tasks need not be `Send`.
    ///
    /// # Panics
    ///
    /// The builder was made with [`new_multi_thread`](Self::new_multi_thread).
    ///
    /// # Errors
    ///
    /// A driver or another resource of the operating system cannot be had.
    pub fn build_local(&mut self, options: LocalOptions) -> io::Result<LocalRuntime> {
        let runtime = self.inner.build_local(options)?;
        BUILDERS.saw(self.number, runtime.handle());
        Ok(runtime)
    }

    pub(crate) fn install(&mut self) -> &mut Self {
        instrument::install(&mut self.inner, self.number, &self.hooks);
        self
    }

    pub(crate) fn with(
        &mut self,
        set: impl FnOnce(&mut tokio::runtime::Builder) -> &mut tokio::runtime::Builder,
    ) -> &mut Self {
        set(&mut self.inner);
        self
    }
}

impl Deref for Builder {
    type Target = tokio::runtime::Builder;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Builder {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builder").field(&self.inner).finish()
    }
}
