//! The threads that queries run on: a fixed number of slots, a big stack, panics contained, and a watcher that answers
//! for a thread that does not end in time. Separate because it knows nothing of scripts.
//!
//! A slot is taken before its thread starts and given back before the answer is handed over, so a client that has its
//! answer can ask again. Work is answered exactly once: by its own thread, or by the watcher, whichever takes the
//! callback out of the run first. A thread that was given up is counted until it ends.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::{QueryError, QueryErrorKind};
use super::limits::{GRACE, Limits, STACK_BYTES};
use crate::store::Store;

/// How long the watcher's thread stays when nothing runs.
const LINGER: Duration = Duration::from_secs(5);

/// The slots, shared by all who ask.
#[derive(Debug)]
pub(super) struct Threads {
    concurrency: usize,
    abandoned: usize,
    slots: Mutex<Slots>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slots {
    running: Vec<(Instant, Arc<dyn Watched>)>,
    starting: usize,
    abandoned: Vec<Arc<dyn Watched>>,
    refused: u64,
    is_watched: bool,
}

/// A run as the watcher sees it.
trait Watched: std::fmt::Debug + Send + Sync {
    /// Answers in the thread's place, unless it has answered.
    fn give_up(&self);
}

type Done<T> = Box<dyn FnOnce(Result<T, QueryError>) + Send>;

struct Run<T> {
    done: Mutex<Option<Done<T>>>,
    /// The error to answer with when the thread is given up.
    late: QueryError,
}

impl<T> std::fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("late", &self.late).finish_non_exhaustive()
    }
}

impl<T> Run<T> {
    fn take(&self) -> Option<Done<T>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T: Send> Watched for Run<T> {
    fn give_up(&self) {
        if let Some(done) = self.take() {
            answer(done, Err(self.late.clone()));
        }
    }
}

/// The way back from a thread to whoever asked.
pub(super) struct Delivery<T> {
    threads: Arc<Threads>,
    run: Arc<Run<T>>,
}

impl<T: Send + 'static> Delivery<T> {
    /// Gives the slot back and hands the answer over, unless that was done already.
    pub(super) fn deliver(self, result: Result<T, QueryError>) {
        self.threads.give_back(&(Arc::clone(&self.run) as Arc<dyn Watched>));
        if let Some(done) = self.run.take() {
            answer(done, result);
        }
    }
}

/// Hands the answer over. What the callback does is not ours: its panic ends here.
fn answer<T>(done: Done<T>, result: Result<T, QueryError>) {
    let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
}

impl Threads {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            concurrency: limits.concurrency,
            abandoned: limits.abandoned,
            slots: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Runs `work` on a thread of its own, and hands over to `done` what it delivers; after `wall` and a grace, `late` is
    /// handed over in its place. Work can deliver before it tidies up.
    pub(super) fn start<T: Send + 'static>(
        self: &Arc<Self>,
        wall: Duration,
        late: QueryError,
        work: impl FnOnce(Delivery<T>) + Send + 'static,
        done: impl FnOnce(Result<T, QueryError>) + Send + 'static,
    ) -> Result<(), QueryError> {
        self.take_slot()?;
        let run = Arc::new(Run { done: Mutex::new(Some(Box::new(done) as Done<T>)), late });
        let watched = Arc::clone(&run) as Arc<dyn Watched>;
        // Listed before the thread starts, so that a thread that ends at once finds itself.
        self.watch(Instant::now() + wall + GRACE, Arc::clone(&watched));
        let delivery = Delivery { threads: Arc::clone(self), run: Arc::clone(&run) };
        let last = Delivery { threads: Arc::clone(self), run: Arc::clone(&run) };
        let body = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(delivery))) {
                let message = crate::registry::panic_message(&*panic);
                let message = format!("lens panicked while it answered: {message}");
                last.deliver(Err(QueryError::new(QueryErrorKind::Internal, message)
                    .help("this is a defect of lens or of a skill; please report it with the script")));
            }
        };
        if let Err(error) = crate::threads::spawn("lens-query", Some(STACK_BYTES), body) {
            self.give_back(&watched);
            drop(run.take());
            let why = error.source().map_or_else(String::new, |source| format!(": {source}"));
            return Err(QueryError::new(QueryErrorKind::Overloaded, format!("{error}{why}"))
                .help("the process is at its limit of threads or memory; ask again later"));
        }
        Ok(())
    }

    /// How many slots are taken, and how often none was free.
    pub(super) fn store(&self) -> Store {
        let slots = self.lock();
        Store {
            name: "queries".into(),
            len_count: (slots.running.len() + slots.starting) as u64,
            cap_count: self.concurrency as u64,
            memory_bytes: 0,
            dropped_total: slots.refused,
        }
    }

    pub(super) fn abandoned(&self) -> Store {
        Store {
            name: "queries that did not end".into(),
            len_count: self.lock().abandoned.len() as u64,
            cap_count: self.abandoned as u64,
            memory_bytes: 0,
            dropped_total: 0,
        }
    }

    fn take_slot(&self) -> Result<(), QueryError> {
        let mut slots = self.lock();
        let refusal = if slots.abandoned.len() >= self.abandoned {
            let message = format!(
                "{} queries did not end in time and still run; the limit is {}",
                slots.abandoned.len(),
                self.abandoned
            );
            QueryError::new(QueryErrorKind::Overloaded, message)
                .help("wait until they end; if they never do, a skill's function hangs")
        } else if slots.running.len() + slots.starting >= self.concurrency {
            let message = format!("{} queries are running, which is the limit", self.concurrency);
            QueryError::new(QueryErrorKind::Overloaded, message).help("ask again in a moment")
        } else {
            slots.starting += 1;
            return Ok(());
        };
        slots.refused += 1;
        Err(refusal)
    }

    fn watch(self: &Arc<Self>, deadline: Instant, run: Arc<dyn Watched>) {
        let mut slots = self.lock();
        slots.starting -= 1;
        slots.running.push((deadline, run));
        if slots.is_watched {
            self.changed.notify_one();
            return;
        }
        let threads = Arc::clone(self);
        // Without a watcher a query still ends by its own clock; only a hanging skill would go unnoticed.
        slots.is_watched = crate::threads::spawn("lens-watch", None, move || threads.watcher()).is_ok();
    }

    /// Gives the slot of `run` back, or, if the watcher has given it up, its place among the missing.
    fn give_back(&self, run: &Arc<dyn Watched>) {
        let mut slots = self.lock();
        slots.running.retain(|(_, other)| !same(run, other));
        slots.abandoned.retain(|other| !same(run, other));
    }

    fn watcher(&self) {
        let mut slots = self.lock();
        loop {
            let now = Instant::now();
            while let Some(position) = slots.running.iter().position(|(deadline, _)| *deadline <= now) {
                let (_, run) = slots.running.swap_remove(position);
                slots.abandoned.push(Arc::clone(&run));
                drop(slots);
                run.give_up();
                slots = self.lock();
            }
            let next = slots.running.iter().map(|(deadline, _)| *deadline).min();
            let wait = next.map_or(LINGER, |deadline| deadline.saturating_duration_since(now));
            let (woken, timeout) = self.changed.wait_timeout(slots, wait).unwrap_or_else(PoisonError::into_inner);
            slots = woken;
            if timeout.timed_out() && next.is_none() && slots.running.is_empty() {
                slots.is_watched = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // Nothing panics while it is held.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same(one: &Arc<dyn Watched>, other: &Arc<dyn Watched>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

#[cfg(test)]
mod tests;
