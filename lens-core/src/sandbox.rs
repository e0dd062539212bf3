//! Evaluates Starlark scripts over a [`Capture`], on threads of its own, within [`Limits`]. Separate because no type of
//! the interpreter leaves this module: the engine can be replaced without a change anywhere else.
//!
//! The service must survive any script. The interpreter's own limits do not give that, so a script is not run as it is
//! written: see `guard`.

mod error;
mod guard;
mod limits;
mod processors;
mod threads;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::Value;

use crate::capture::Capture;
use crate::error::Error;
use crate::registry::Registry;
use crate::store::Store;

pub use error::{Excerpt, QueryError, QueryErrorKind};
pub use guard::reference::{BuiltinParameter, BuiltinReference, Given};
pub use limits::{
    ANYWHERE_FOR, DEFAULT_ABANDONED, DEFAULT_CALL_DEPTH, DEFAULT_CONCURRENCY, DEFAULT_HEAP_BYTES, DEFAULT_INT_BITS,
    DEFAULT_NESTING, DEFAULT_OUTPUT_BYTES, DEFAULT_PRINTED_BYTES, DEFAULT_PRINTED_LINES, DEFAULT_ROWS,
    DEFAULT_SOURCE_BYTES, DEFAULT_STEPS, DEFAULT_TEXT_BYTES, DEFAULT_WALL, DEFAULT_WORK_WALL, FAIR_FOR, GRACE, Limits,
    MAX_CALL_DEPTH, MAX_FINDINGS, MAX_NESTING, MAX_WALL, STACK_BYTES, STEP_BACK,
};
use threads::Threads;
pub use worker::{WORKER_ARGUMENT, worker};

/// Where queries run. Clones share their slots.
#[derive(Clone, Debug)]
pub struct Sandbox {
    limits: Arc<Limits>,
    threads: Arc<Threads>,
    is_isolated: bool,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The value of the script's last expression, or of `main()` if the script defines it and does not end in an
    /// expression.
    pub value: Value,
    /// The names of the value's fields in the order in which the script or the skill has them, which JSON does not keep:
    /// those of its first row if it is a list of rows. Empty for a value without fields.
    pub columns: Vec<String>,
    /// What the script printed, line by line.
    pub printed: Vec<String>,
    /// What it took.
    pub cost: Cost,
    /// The skills that it read.
    pub touched: Vec<String>,
}

/// What a query took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// From the first look at the script to its answer.
    pub elapsed: Duration,
    /// Operations, calls, loop turns, and elements that calls went through.
    pub steps: u64,
    /// The memory of all values that it made.
    pub heap_bytes: u64,
}

/// A script that was read and checked once, to be run any number of times.
#[derive(Clone)]
pub struct Script(Arc<guard::Prepared>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

/// A query that runs. Dropping it cancels the query.
pub struct Running {
    is_cancelled: Arc<AtomicBool>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

impl Sandbox {
    /// A sandbox in which each query may use `limits`.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = limits.clamped();
        let threads = Threads::new(&limits);
        Self { limits: Arc::new(limits), threads, is_isolated: false }
    }

    /// The same sandbox, in which each script that is [started](Self::start) runs in a process of its own: the service's
    /// program, started again. The process is limited by the kernel and killed at the deadline, so that not even a defect
    /// of the interpreter can hurt the service. Answers and errors are the same; a query takes some milliseconds longer.
    /// Scripts that were [compiled](Self::compile) are trusted and run here.
    ///
    /// # Errors
    ///
    /// [`worker`] was not called, or this is not Linux.
    pub fn isolated(self) -> Result<Self, Error> {
        match worker::missing() {
            Some(reason) => Err(Error::NoWorker { reason }),
            None => Ok(Self { is_isolated: true, ..self }),
        }
    }

    /// What each query may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Evaluates `source` over `capture` on a thread of its own, and calls `done` exactly once with what it gave: on that
    /// thread, or on the watcher's if the thread does not end in time. `done` must not block.
    ///
    /// # Errors
    ///
    /// [`QueryErrorKind::Overloaded`]: as many queries as allowed are running. `done` is then not called.
    pub fn start(
        &self,
        source: &str,
        capture: Arc<Capture>,
        done: impl FnOnce(Result<Outcome, QueryError>) + Send + 'static,
    ) -> Result<Running, QueryError> {
        // A script that is too long is not even copied.
        let refused = guard::refuse_long(source, &self.limits);
        let source = if refused.is_some() { String::new() } else { source.to_owned() };
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let cancelled = Arc::clone(&is_cancelled);
        let limits = Arc::clone(&self.limits);
        let is_isolated = self.is_isolated;
        // A process of its own is killed after the grace, so the watcher gives this thread up later.
        let wall = self.limits.wall + if is_isolated { GRACE } else { Duration::ZERO };
        let work = move |delivery: threads::Delivery<Outcome>| match refused {
            Some(error) => delivery.deliver(Err(error)),
            #[cfg(target_os = "linux")]
            None if is_isolated => delivery.deliver(worker::run(&source, &capture, &limits, &cancelled)),
            None => guard::evaluate_source(&source, &capture, &limits, &cancelled, |result| delivery.deliver(result)),
        };
        self.threads.start(wall, late("query", self.limits.wall), work, done)?;
        Ok(Running { is_cancelled })
    }

    /// Reads `source` and checks it over the skills of `registry`; the caller waits.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it; or too many queries are running.
    pub fn compile(&self, source: &str, registry: &Arc<Registry>) -> Result<Script, QueryError> {
        let wrong = self.check(source, registry)?;
        match wrong.into_iter().next() {
            Some(error) => Err(error),
            None => self.prepare(source),
        }
    }

    /// Reads `source`; what can only be told over skills comes when it runs. The caller waits.
    pub(crate) fn prepare(&self, source: &str) -> Result<Script, QueryError> {
        let (source, limits) = (source.to_owned(), Arc::clone(&self.limits));
        let (answer, answered) = sync_channel(1);
        self.start_work(
            move || guard::prepare(&source, &limits),
            move |result| {
                // The receiver waits below.
                let _ = answer.send(result);
            },
        )?;
        let prepared = answered.recv().unwrap_or_else(|_| Err(unheard()))??;
        Ok(Script(Arc::new(prepared)))
    }

    /// Like [`start`](Self::start), of a script that was compiled.
    ///
    /// # Errors
    ///
    /// [`QueryErrorKind::Overloaded`]: as many queries as allowed are running. `done` is then not called.
    pub fn start_script(
        &self,
        script: &Script,
        capture: Arc<Capture>,
        done: impl FnOnce(Result<Outcome, QueryError>) + Send + 'static,
    ) -> Result<Running, QueryError> {
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let cancelled = Arc::clone(&is_cancelled);
        let (script, limits) = (script.clone(), Arc::clone(&self.limits));
        let work = move |delivery: threads::Delivery<Outcome>| {
            guard::evaluate(&script.0, &capture, &limits, &cancelled, |result| delivery.deliver(result));
        };
        self.threads.start(self.limits.wall, late("query", self.limits.wall), work, done)?;
        Ok(Running { is_cancelled })
    }

    /// Like [`start`](Self::start), and waits for the answer.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn run(&self, source: &str, capture: Arc<Capture>) -> Result<Outcome, QueryError> {
        wait(|done| self.start(source, capture, done))
    }

    /// Like [`start_script`](Self::start_script), and waits for the answer.
    pub(crate) fn run_script(&self, script: &Script, capture: Arc<Capture>) -> Result<Outcome, QueryError> {
        wait(|done| self.start_script(script, capture, done))
    }

    /// Says what is wrong with `source` without running it, and calls `done` exactly once, as [`start`](Self::start) does:
    /// everything that can be told beforehand, at most [`MAX_FINDINGS`] errors in the order of their places. No error
    /// means that it can be run, not that it will give an answer. No skill is read. A check that takes longer than
    /// [`Limits::wall`] ends with [`QueryErrorKind::Limit`].
    ///
    /// # Errors
    ///
    /// [`QueryErrorKind::Overloaded`]: as many queries as allowed are running. `done` is then not called.
    pub fn start_check(
        &self,
        source: &str,
        registry: &Arc<Registry>,
        done: impl FnOnce(Result<Vec<QueryError>, QueryError>) + Send + 'static,
    ) -> Result<(), QueryError> {
        // A script that is too long is not even copied.
        let refused = guard::refuse_long(source, &self.limits);
        let source = if refused.is_some() { String::new() } else { source.to_owned() };
        let registry = Arc::clone(registry);
        let limits = Arc::clone(&self.limits);
        self.start_work(
            move || match refused {
                Some(error) => Ok(vec![error]),
                None => guard::check(&source, &registry, &limits),
            },
            |result| done(result.flatten()),
        )
    }

    /// Like [`start_check`](Self::start_check), and waits for the answer.
    ///
    /// # Errors
    ///
    /// The script could not be checked: too many queries are running, or it took too long.
    pub fn check(&self, source: &str, registry: &Arc<Registry>) -> Result<Vec<QueryError>, QueryError> {
        let (answer, answered) = sync_channel(1);
        self.start_check(source, registry, move |result| {
            // The receiver waits below.
            let _ = answer.send(result);
        })?;
        answered.recv().unwrap_or_else(|_| Err(unheard()))
    }

    /// Does any bounded work on the same kind of thread and the same slots, and calls `done` exactly once, as
    /// [`start`](Self::start) does. A panic in `work` becomes [`QueryErrorKind::Internal`]; work that takes longer than
    /// [`Limits::work_wall`] is answered with [`QueryErrorKind::Limit`] and its thread is given up.
    ///
    /// # Errors
    ///
    /// [`QueryErrorKind::Overloaded`]: as many queries as allowed are running. `done` is then not called.
    pub fn start_work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(Result<T, QueryError>) + Send + 'static,
    ) -> Result<(), QueryError> {
        let wall = self.limits.work_wall;
        let work = move |delivery: threads::Delivery<T>| delivery.deliver(Ok(work()));
        self.threads.start(wall, late("request", wall), work, done)
    }

    /// The functions that every script can call, beside those of the skills, in alphabetical order.
    #[must_use]
    pub fn builtins() -> &'static [BuiltinReference] {
        guard::reference::all()
    }

    /// How many slots are taken, how many there are, and how often none was free.
    #[must_use]
    pub fn store(&self) -> Store {
        self.threads.store()
    }

    /// The threads that did not end in time and still run; at the cap, queries are refused.
    #[must_use]
    pub fn abandoned(&self) -> Store {
        self.threads.abandoned()
    }

    /// [`store`](Self::store) and [`abandoned`](Self::abandoned) of a sandbox that is not for people's queries but for
    /// `what`.
    #[must_use]
    pub fn stores_of(&self, what: &str) -> [Store; 2] {
        let ended_late = Store { name: format!("{what} that did not end").into(), ..self.abandoned() };
        [Store { name: what.to_owned().into(), ..self.store() }, ended_late]
    }
}

/// Whether every script has something called `name`, whatever skills there are.
pub(crate) fn is_builtin(name: &str) -> bool {
    guard::names().any(|known| known == name)
}

/// Starts a query and waits for what it gives.
fn wait(
    start: impl FnOnce(Box<dyn FnOnce(Result<Outcome, QueryError>) + Send>) -> Result<Running, QueryError>,
) -> Result<Outcome, QueryError> {
    let (answer, answered) = sync_channel(1);
    let running = start(Box::new(move |result| {
        // The receiver waits below.
        let _ = answer.send(result);
    }))?;
    let result = answered.recv();
    drop(running);
    result.unwrap_or_else(|_| Err(unheard()))
}

fn unheard() -> QueryError {
    QueryError::new(QueryErrorKind::Internal, "the query's thread ended unheard")
}

/// The error for work whose thread did not end in time.
fn late(what: &str, wall: Duration) -> QueryError {
    QueryError::new(QueryErrorKind::Limit, format!("the {what} did not end within its {} ms", wall.as_millis()))
        .help("a skill that it asks hangs or is very slow; GET /debug/lens/doctor says which")
}

#[cfg(test)]
mod tests;
