//! The runtimes that are watched. Separate from the skill because the service attaches runtimes to it, and lens's thread
//! drives it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lens_core::{Source, Store};
use tokio::runtime::Handle;

use super::counts::nanos;
use super::observed::{Observed, id};
use super::rows::EndedRow;
use super::state::{Flavor, Runtime};
use super::{interval, window};
use crate::stalls::WatchedRuntime;

/// The most runtimes that are watched at a time. More cost about 10 KiB each, and 2.5 KiB a worker.
pub const MAX_RUNTIMES: usize = 64;

/// The most runtimes that are remembered after they have ended, oldest forgotten first.
pub const MAX_ENDED_RUNTIMES: usize = 64;

/// The longest name of a runtime; the rest of a longer one is cut off.
const MAX_NAME: usize = 60;

/// The runtimes that lens watches. Clones are the same registry.
///
/// A runtime is let go when it shuts down: lens keeps no handle of it, which would keep its file descriptors open.
///
/// # Cost
///
/// To each runtime: one task, woken once a second. To lens's thread: about 10 ns a worker for each
/// [`sample`](Self::sample).
///
/// # Examples
///
/// ```
/// use lens_tokio::Runtimes;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let runtimes = Runtimes::new();
/// runtimes.attach(Some("batch"), runtime.handle().clone());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Runtimes(Arc<Shared>);

/// What [`Runtimes::attach`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attached {
    /// The runtime is watched from now on.
    Yes,
    /// It was already; if it had no name and one was given, it has that now.
    Already,
    /// It is not: there are [`MAX_RUNTIMES`]. The skill's sources say so.
    TooMany,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) observed: Vec<Observed>,
    pub(super) ended: VecDeque<EndedRow>,
    pub(super) ended_total: u64,
    refused_total: u64,
    attached_total: u64,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtimes {
    /// No runtimes yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared { start: Instant::now(), inner: Mutex::default() }))
    }

    /// Watches a runtime, of any flavour and however it was built, until it shuts down. It is called `name`, else what its
    /// builder called it, else `runtime-1` and so on; a name that another one has gets a number.
    #[expect(clippy::must_use_candidate, reason = "the skill's sources report what was refused")]
    pub fn attach(&self, name: Option<&str>, handle: Handle) -> Attached {
        // A runtime may be as good as new under the id of one that has ended.
        self.reap();
        let mut inner = self.lock();
        let inner = &mut *inner;
        let name = name.map(|name| name.chars().take(MAX_NAME).collect::<String>());
        let id = id(&handle);
        if let Some(known) = inner.observed.iter().position(|known| known.identity.id == id && !known.is_over()) {
            if let Some(name) = name.filter(|_| inner.observed[known].is_unnamed) {
                let label = inner.free_label(&name);
                inner.observed[known].rename(label, false);
            }
            return Attached::Already;
        }
        if inner.observed.len() >= MAX_RUNTIMES {
            inner.refused_total += 1;
            return Attached::TooMany;
        }
        inner.attached_total += 1;
        let own = || handle.name().map(|name| name.chars().take(MAX_NAME).collect());
        let (label, is_unnamed) = match name.or_else(own) {
            Some(name) => (inner.free_label(&name), false),
            None => (inner.free_label(&format!("runtime-{}", inner.attached_total)), true),
        };
        inner.observed.push(Observed::new(label, is_unnamed, &handle, self.0.start));
        if inner.observed.len() > 1 {
            inner.observed.iter_mut().for_each(|observed| observed.is_one_of_several = true);
        }
        Attached::Yes
    }

    /// Looks at every worker, and lets go of runtimes that have shut down; every second also wakes the canaries. To be
    /// called from a thread of lens's about every 100 ms: how soon and how exactly a lack of progress is noticed depends
    /// on it.
    ///
    /// Cost: some relaxed loads for each worker; no allocation but in the first minute.
    pub fn sample(&self, now: Instant) {
        self.reap();
        let now_ns = self.since_start(now);
        for observed in &mut self.lock().observed {
            observed.sample(now_ns);
        }
    }

    /// Reads every runtime.
    pub(super) fn freeze(&self) -> (Vec<Runtime>, Vec<EndedRow>) {
        self.reap();
        let mut inner = self.lock();
        let freeze = |observed: &mut Observed| {
            let now_ns = self.since_start(Instant::now());
            observed.observe(now_ns);
            observed.freeze(now_ns)
        };
        let runtimes = inner.observed.iter_mut().map(freeze).collect();
        (runtimes, inner.ended.iter().cloned().collect())
    }

    /// What the watchdog of stalls looks at.
    pub(crate) fn watched(&self) -> Vec<WatchedRuntime> {
        let inner = self.lock();
        let living = inner.observed.iter().filter(|observed| !observed.is_over());
        let watched = living.map(|observed| WatchedRuntime {
            id: observed.identity.id,
            label: Some(observed.identity.label.clone()),
            is_multi_thread: observed.identity.flavor == Flavor::MultiThread,
            metrics: observed.metrics().clone(),
            canary: Some(observed.canary().clone()),
        });
        watched.collect()
    }

    /// Gives `read` what is watched, and the instant in its terms.
    pub(super) fn with<T>(&self, now: Instant, read: impl FnOnce(&Inner, u64) -> T) -> T {
        read(&self.lock(), self.since_start(now))
    }

    /// Lets go of runtimes that have shut down.
    fn reap(&self) {
        let mut gone = Vec::new();
        {
            let mut inner = self.lock();
            let inner = &mut *inner;
            for observed in inner.observed.extract_if(.., |observed| observed.is_over()) {
                if inner.ended.len() == MAX_ENDED_RUNTIMES {
                    inner.ended.pop_front();
                }
                inner.ended.push_back(observed.ended());
                inner.ended_total += 1;
                gone.push(observed);
            }
        }
        // The last handle runs what the service left in its runtime, which is not done under the lock.
        drop(gone);
    }

    /// What the registry keeps.
    pub(super) fn stores(&self) -> Vec<Store> {
        let inner = self.lock();
        let watched = inner.observed.len() as u64;
        let memory: usize = inner.observed.iter().map(Observed::memory_bytes).sum();
        let frames: usize = inner.observed.iter().map(|observed| observed.frames() + observed.intervals()).sum();
        let store = |name: &'static str, len_count, cap_count: usize, memory: usize, dropped_total| Store {
            name: name.into(),
            len_count,
            cap_count: cap_count as u64,
            memory_bytes: memory as u64,
            dropped_total,
        };
        let cap = MAX_RUNTIMES * (window::CAP + interval::CAP);
        vec![
            store("runtimes", watched, MAX_RUNTIMES, memory, inner.refused_total),
            // Counted with the runtimes, whose they are; the oldest make room as they should.
            store("runtimes' last minute", frames as u64, cap, 0, 0),
            store(
                "ended runtimes",
                inner.ended.len() as u64,
                MAX_ENDED_RUNTIMES,
                inner.ended.capacity() * size_of::<EndedRow>(),
                inner.ended_total - inner.ended.len() as u64,
            ),
        ]
    }

    /// `source`, if all runtimes are watched that were to be.
    pub(super) fn covered(&self, source: Source) -> Source {
        match self.lock().refused_total {
            0 => source,
            refused => source.partial(format!(
                "{refused} runtimes were not attached because {MAX_RUNTIMES} were alive; attach those that matter first"
            )),
        }
    }

    fn since_start(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.0.start))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// `name`, with a number if a runtime that is alive has it.
    fn free_label(&self, name: &str) -> String {
        let is_free = |label: &str| self.observed.iter().all(|observed| observed.identity.label != label);
        if is_free(name) {
            return name.to_owned();
        }
        let numbered = (2..).map(|number: usize| format!("{name}-{number}"));
        numbered.take(MAX_RUNTIMES + 1).find(|label| is_free(label)).unwrap_or_else(|| name.to_owned())
    }
}
