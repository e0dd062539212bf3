//! The thread that looks. Separate because it is the only thing here that runs all the time: everything else is called
//! from it, or reads what it wrote.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lens_core::{Error, Reading, Store, Unavailable};
use tokio::runtime::{Handle, RuntimeFlavor, RuntimeMetrics};

use crate::runtime::{Canary, Runtimes};
use crate::stack::Symbolizer;

use super::log::Log;
use super::looker::Looker;
use super::patience::Patience;
use super::polls::Polls;
use super::workers::Workers;
use super::{MAX_PAST, StallsSkill, THRESHOLD};

/// How often it is asked which runtimes there are.
const RUNTIMES: Duration = Duration::from_millis(100);

/// What counts as a stall.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A poll that lasts longer is a stall.
    pub threshold: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: THRESHOLD }
    }
}

/// A runtime that is watched for workers without progress, and whose workers tell a `block_in_place` from a stall.
#[derive(Clone, Debug)]
pub struct WatchedRuntime {
    /// The number that slots know it by.
    pub(crate) id: u64,
    pub(crate) label: Option<String>,
    pub(crate) is_multi_thread: bool,
    pub(crate) metrics: RuntimeMetrics,
    /// Lens's own task in it.
    pub(crate) canary: Option<Canary>,
}

impl WatchedRuntime {
    /// Whether somebody is sure to drive it, or should: a runtime of one thread is driven by whoever calls `block_on`. That
    /// nobody does is no stall; that nobody does while tasks of the service wait in its queue is.
    pub(super) fn is_surely_driven(&self) -> bool {
        let depth = self.metrics.global_queue_depth();
        self.is_multi_thread || self.canary.as_ref().map_or(depth, |canary| canary.left_out_of(depth)) > 0
    }
}

impl From<&Handle> for WatchedRuntime {
    fn from(handle: &Handle) -> Self {
        Self {
            id: crate::instrument::number_of(&handle.id()),
            label: handle.name().map(str::to_owned),
            is_multi_thread: handle.runtime_flavor() == RuntimeFlavor::MultiThread,
            metrics: handle.metrics(),
            canary: None,
        }
    }
}

/// Which runtimes are watched.
pub trait WatchedRuntimes: Send + 'static {
    /// Those that are there now. Asked ten times a second; what is given is kept until the next time.
    fn watched(&self) -> Vec<WatchedRuntime>;
}

impl WatchedRuntimes for Runtimes {
    fn watched(&self) -> Vec<WatchedRuntime> {
        Self::watched(self)
    }
}

/// The thread `lens-watchdog`: looks at what every thread polls, and drives the clock of the task table. Dropping it ends
/// the thread.
///
/// Cost: waking up 100 times a second, and 200 times while something is polled, at 25 to 45 µs in a small virtual machine, of
/// which two thirds are the kernel's: 0.3 to 0.9 % of a core, more while a stall is being looked at. In the first minute, and
/// for a minute after a thread has computed for some 5 ms in one poll, each switch between threads on the machine takes some
/// 60 ns longer: Linux is kept ready to sample a running thread.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the skill reads.
#[derive(Debug)]
pub(super) struct Shared {
    log: Mutex<Log>,
    pub(super) symbolizer: Symbolizer,
    pub(super) threshold: Duration,
    /// Whether stacks of waiting threads can be taken.
    pub(super) waiting: Reading<()>,
    /// Whether lines of the service's own code can be looked up.
    pub(super) lines: Reading<()>,
    running: Mutex<Reading<()>>,
    tables_bytes: usize,
    is_watching: AtomicBool,
    /// Set, and the thread unparked, for it to end.
    is_dropped: AtomicBool,
}

impl Shared {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        // Nothing panics while it is held.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether stacks of running threads can be taken, as of the last tenth of a second.
    pub(super) fn running(&self) -> Reading<()> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_running(&self, reading: Reading<()>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = reading;
    }

    /// # Errors
    ///
    /// The thread has ended.
    pub(super) fn reading(&self) -> Reading<()> {
        if self.is_watching.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Unavailable::failed("the thread lens-watchdog has ended"))
    }

    pub(super) fn stores(&self) -> Vec<Store> {
        let log = self.log();
        vec![
            Store {
                name: "past stalls".into(),
                len_count: log.past_len() as u64,
                cap_count: MAX_PAST as u64,
                memory_bytes: log.memory_bytes() as u64,
                dropped_total: log.dropped_total,
            },
            self.symbolizer.store(),
            Store {
                name: "unwind tables".into(),
                len_count: self.tables_bytes as u64,
                cap_count: crate::stack::MAX_TABLES_BYTES as u64,
                memory_bytes: self.tables_bytes as u64,
                dropped_total: 0,
            },
        ]
    }
}

/// One look.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) threshold: Duration,
    pub(super) looker: &'a mut Looker,
    shared: &'a Shared,
}

impl<'a> Context<'a> {
    pub(super) fn log(&self) -> MutexGuard<'a, Log> {
        self.shared.log()
    }

    /// What a thread lacks of having had the chance to move on, see [`Patience::missing`].
    pub(super) fn missing(&mut self, patience: &mut Patience, tid: Option<u32>, long: Duration) -> Duration {
        if !patience.is_asked() {
            self.looker.make_ready_if_running(tid);
        }
        patience.missing(tid, long, self.now)
    }
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(settings: Settings, runtimes: impl WatchedRuntimes) -> Result<Self, Error> {
        let symbolizer = Symbolizer::new();
        let mut looker = Looker::new(symbolizer.clone());
        let running = Mutex::new(looker.running());
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            symbolizer,
            threshold: settings.threshold,
            waiting: looker.waiting(),
            lines: crate::stack::has_lines(),
            running,
            tables_bytes: looker.memory_bytes(),
            is_watching: AtomicBool::new(true),
            is_dropped: AtomicBool::new(false),
        });
        let same = Arc::clone(&shared);
        let thread = lens_core::threads::spawn("lens-watchdog", None, move || {
            let _watching = Watching(&same);
            looker.make_ready();
            let mut ticker = crate::tasks::ticker();
            let mut polls = Polls::default();
            let mut workers = Workers::default();
            let mut watched: (Instant, Vec<WatchedRuntime>) = (Instant::now(), runtimes.watched());
            while !same.is_dropped.load(Ordering::Acquire) {
                ticker.tick();
                let now = Instant::now();
                if now.saturating_duration_since(watched.0) >= RUNTIMES {
                    watched = (now, runtimes.watched());
                    looker.release_unused();
                    same.set_running(looker.running());
                }
                let threshold = same.threshold;
                let mut context = Context { now, threshold, looker: &mut looker, shared: &same };
                let next = polls.look(&mut context, &watched.1).min(workers.look(&mut context, &watched.1));
                std::thread::park_timeout(next);
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The skill that shows what it saw.
    #[must_use]
    pub fn skill(&self) -> StallsSkill {
        StallsSkill { shared: Some(Arc::clone(&self.shared)) }
    }
}

/// Says so when the thread ends.
struct Watching<'a>(&'a Shared);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.is_watching.store(false, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.is_dropped.store(true, Ordering::Release);
            thread.thread().unpark();
            // A panic in it has been its end already.
            let _ = thread.join();
        }
    }
}
