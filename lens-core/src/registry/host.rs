//! Calls a skill so that nothing it does can hurt lens: panics are caught and counted, and a skill that may block is
//! called on a thread of its own, which is left alone while it is stuck. Separate because it is the only code that calls
//! a live skill.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::erased::{Frozen, panic_message};
use super::{COLLECT_DEADLINE, MAX_PANICS, State};
use crate::error::Error;
use crate::metric::Metrics;
use crate::reading::{Reading, Source, Unavailable};
use crate::skill::Skill;
use crate::store::Store;
use crate::threads;

/// A skill that can be read, and how to reach it.
pub(super) struct Host {
    skill: Arc<dyn LiveSkill>,
    worker: Option<Worker>,
    panics: Panics,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("has_own_thread", &self.worker.is_some()).finish_non_exhaustive()
    }
}

/// A skill without its state's type.
trait LiveSkill: Send + Sync {
    fn collect(&self) -> Reading<State>;
    fn metrics(&self, out: &mut Metrics);
    fn sources(&self) -> Vec<Source>;
    fn stores(&self) -> Vec<Store>;
}

impl<S: Skill> LiveSkill for S {
    fn collect(&self) -> Reading<State> {
        Ok(Arc::new(Frozen(Skill::collect(self)?)))
    }

    fn metrics(&self, out: &mut Metrics) {
        Skill::metrics(self, out);
    }

    fn sources(&self) -> Vec<Source> {
        Skill::sources(self)
    }

    fn stores(&self) -> Vec<Store> {
        Skill::stores(self)
    }
}

impl Host {
    pub(super) fn new<S: Skill>(skill: S) -> Result<Arc<Self>, Error> {
        let skill: Arc<dyn LiveSkill> = Arc::new(skill);
        let worker = if S::MAY_BLOCK { Some(Worker::start()?) } else { None };
        Ok(Arc::new(Self { skill, worker, panics: Panics::default() }))
    }

    pub(super) fn collect(self: &Arc<Self>) -> Reading<State> {
        self.call(|skill| skill.collect())?
    }

    pub(super) fn metrics(self: &Arc<Self>, mut out: Metrics) -> Reading<Metrics> {
        self.call(move |skill| {
            out.clear();
            skill.metrics(&mut out);
            out
        })
    }

    pub(super) fn sources(self: &Arc<Self>) -> Vec<Source> {
        self.call(|skill| skill.sources()).unwrap_or_default()
    }

    pub(super) fn stores(self: &Arc<Self>) -> Vec<Store> {
        self.call(|skill| skill.stores()).unwrap_or_default()
    }

    /// Why the skill is not called any more, or cannot be at the moment.
    pub(super) fn trouble(&self) -> Option<Unavailable> {
        self.panics.given_up().or_else(|| self.worker.as_ref().and_then(Worker::stuck))
    }

    /// Calls the skill, on its own thread if it has one.
    fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&dyn LiveSkill) -> T + Send + 'static,
    ) -> Reading<T> {
        if let Some(reason) = self.panics.given_up() {
            return Err(reason);
        }
        let Some(worker) = &self.worker else {
            return self.guarded(call);
        };
        let (answer, answered) = sync_channel(1);
        let host = Arc::clone(self);
        worker.run(
            Box::new(move || {
                // Nobody waits any more if the deadline has passed; the answer is then dropped.
                let _ = answer.try_send(host.guarded(call));
            }),
            &answered,
        )
    }

    fn guarded<T>(&self, call: impl FnOnce(&dyn LiveSkill) -> T) -> Reading<T> {
        catch_unwind(AssertUnwindSafe(|| call(&*self.skill))).map_err(|panic| {
            let message = panic_message(&*panic);
            self.panics.note(&message);
            Unavailable::Panicked { message }
        })
    }
}

/// How often a skill panicked, and with what words last.
#[derive(Default)]
struct Panics {
    count: AtomicU32,
    message: Mutex<String>,
}

impl Panics {
    fn note(&self, message: &str) {
        message.clone_into(&mut self.message.lock().unwrap_or_else(PoisonError::into_inner));
        self.count.fetch_add(1, Ordering::Release);
    }

    fn given_up(&self) -> Option<Unavailable> {
        let count = self.count.load(Ordering::Acquire);
        (count >= MAX_PANICS).then(|| Unavailable::Panicked {
            message: format!(
                "{} (it panicked {count} times and is not called any more)",
                self.message.lock().unwrap_or_else(PoisonError::into_inner)
            ),
        })
    }
}

/// The most calls of one skill that wait for another one to end: the recorder's, and those of queries that run at once.
const MAX_WAITING: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// The thread of a skill that may block.
struct Worker {
    jobs: SyncSender<Job>,
    /// Milliseconds after `started` at which the running job began, plus one; 0 while idle.
    busy_since: Arc<AtomicU64>,
    started: Instant,
}

impl Worker {
    fn start() -> Result<Self, Error> {
        let (jobs, queue) = sync_channel::<Job>(MAX_WAITING);
        let busy_since = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let busy = Arc::clone(&busy_since);
        threads::spawn("lens-skill", None, move || {
            while let Ok(job) = queue.recv() {
                busy.store(since(started) + 1, Ordering::Relaxed);
                job();
                busy.store(0, Ordering::Relaxed);
            }
        })?;
        Ok(Self { jobs, busy_since, started })
    }

    fn run<T>(&self, job: Job, answered: &Receiver<Reading<T>>) -> Reading<T> {
        if let Some(reason) = self.stuck() {
            return Err(reason);
        }
        if self.jobs.try_send(job).is_err() {
            return Err(self.stuck().unwrap_or(Unavailable::Stuck { for_ms: 0 }));
        }
        match answered.recv_timeout(COLLECT_DEADLINE) {
            Ok(reading) => reading,
            Err(RecvTimeoutError::Timeout) => Err(self.stuck().unwrap_or(Unavailable::Stuck { for_ms: 0 })),
            Err(RecvTimeoutError::Disconnected) => Err(Unavailable::failed("the skill's thread has ended")),
        }
    }

    /// Since when the thread is busy, once that is longer than a call may take.
    fn stuck(&self) -> Option<Unavailable> {
        let since_start = self.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
        let for_ms = since(self.started).saturating_sub(since_start);
        let deadline = u64::try_from(COLLECT_DEADLINE.as_millis()).unwrap_or(u64::MAX);
        (for_ms + 1 >= deadline).then_some(Unavailable::Stuck { for_ms })
    }
}

fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
