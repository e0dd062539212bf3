//! The skill `dhat`: what the allocator of the crate `dhat` counts, for development. Separate because that is another
//! allocator than jemalloc, which the service chooses instead of it.
//!
//! # Price
//!
//! `dhat` takes the stack of every allocation, one thread at a time: an allocation takes about a microsecond instead of
//! ten nanoseconds, and threads wait for each other. A service in production is better asked by
//! [heap profiles](crate::profile). While it is there, jemalloc is not Rust's allocator, so the skill `heap` has nothing but
//! what the kernel says.

use std::fmt;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lens_core::skill::NoArguments;
use lens_core::time::millis;
use lens_core::{
    About, CallError, Functions, Metric, Metrics, Reading, Skill, Source, Timestamp, Unavailable, Unit, View,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use ::dhat::Alloc;

/// The file that a run leaves behind, unless it is told another: dhat's own.
pub const DEFAULT_FILE: &str = "dhat-heap.json";

/// The run that is going on; locked while its figures are read, so that it cannot end meanwhile.
static RUN: Mutex<Option<Run>> = Mutex::new(None);

#[derive(Clone, Debug)]
struct Run {
    since: Timestamp,
    file: PathBuf,
}

fn run() -> MutexGuard<'static, Option<Run>> {
    // What a panic left behind is a run or none.
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why dhat does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// It runs already, started by lens or by the service.
    Running,
    /// Rust's allocations don't go through it.
    NotGlobalAllocator,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "dhat runs already; a process has one run at a time",
            Self::NotGlobalAllocator => NOT_GLOBAL,
        })
    }
}

impl std::error::Error for StartError {}

const NOT_GLOBAL: &str = "make dhat the global allocator instead of jemalloc: `#[global_allocator] static A: \
                          lens::dhat::Alloc = lens::dhat::Alloc;`";

/// A run of dhat. Dropping it ends the run: dhat writes its file, and a summary to stderr.
#[derive(Debug)]
#[must_use = "the run ends when this is dropped; bind it to a variable such as `_dhat`"]
pub struct Dhat(Option<::dhat::Profiler>);

/// Starts to record every allocation, until the result is dropped: then `file` is written, which
/// <https://nnethercote.github.io/dh_view/dh_view.html> shows.
///
/// # Errors
///
/// dhat runs already, or is not the global allocator.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: lens_jemalloc::dhat::Alloc = lens_jemalloc::dhat::Alloc;
///
/// fn main() {
/// # let file = std::env::temp_dir().join(format!("lens-dhat-example-{}.json", std::process::id()));
/// # let shown = file.clone();
///     let _dhat = lens_jemalloc::dhat::start(file).expect("dhat is the allocator");
///     // … the service
/// # drop(_dhat);
/// # std::fs::remove_file(shown).unwrap();
/// }
/// ```
pub fn start(file: impl Into<PathBuf>) -> Result<Dhat, StartError> {
    let file = file.into();
    let mut run = run();
    if run.is_some() {
        return Err(StartError::Running);
    }
    // dhat panics if the service has started it by itself.
    let begin = |builder: ::dhat::ProfilerBuilder| catch_unwind(|| builder.build()).map_err(|_| StartError::Running);
    // A run for a test leaves no file.
    let trial = begin(::dhat::Profiler::builder().testing())?;
    let before = ::dhat::HeapStats::get().total_blocks;
    drop(black_box(Box::new(black_box(0_u8))));
    let counts = ::dhat::HeapStats::get().total_blocks > before;
    drop(trial);
    if !counts {
        return Err(StartError::NotGlobalAllocator);
    }
    let profiler = begin(::dhat::Profiler::builder().file_name(&file))?;
    *run = Some(Run { since: Timestamp::now(), file });
    Ok(Dhat(Some(profiler)))
}

impl Drop for Dhat {
    fn drop(&mut self) {
        let mut run = run();
        *run = None;
        // Inside of the lock: a reader would panic without a run.
        drop(self.0.take());
    }
}

static LIVE: Metric =
    Metric::gauge("live_bytes", Unit::Bytes, "Bytes that are allocated, as dhat counts.").bad_when_up();
static ALLOCATED: Metric =
    Metric::counter("allocated_total", Unit::Bytes, "Bytes that were allocated since dhat started.");

/// What dhat counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct DhatSkill;

/// What dhat had counted at an instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DhatState {
    at: Timestamp,
    since: Timestamp,
    file: PathBuf,
    allocated_bytes: u64,
    allocated_count: u64,
    live_bytes: u64,
    live_count: u64,
    peak_bytes: u64,
    peak_count: u64,
}

/// What dhat counts, as bytes that were asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DhatStats {
    /// Bytes that were allocated since it started.
    pub allocated_bytes: u64,
    /// Allocations since it started.
    pub allocated_count: u64,
    /// Bytes that are allocated now, of those.
    pub live_bytes: u64,
    /// Allocations that are alive now, of those.
    pub live_count: u64,
    /// The most bytes that were alive at once.
    pub peak_bytes: u64,
    /// Allocations that were alive then.
    pub peak_count: u64,
    /// For how long it has been running.
    pub running_ms: f64,
    /// The file that it writes when it ends, for its viewer.
    pub file: String,
}

impl DhatSkill {
    /// The name, title and prompt, for a registry that knows the skill but cannot read it.
    #[must_use]
    pub fn describe() -> About {
        About::new("dhat", "dhat", "Every allocation since the start, as the allocator `dhat` counts: for development.")
            .prompt(
                "dhat.stats() is exact, and makes allocations a hundred times slower. Who allocated is in the file that \
                 it writes when the service ends; heap.profile() tells it of a running service, by jemalloc.",
            )
    }

    fn read() -> Reading<DhatState> {
        let run = run();
        let Some(Run { since, file }) = run.clone() else {
            return Err(Unavailable::NotEnabled {
                how: "make `lens::dhat::Alloc` the global allocator, and begin `main` with `let _dhat = \
                      lens::dhat::start(lens::dhat::DEFAULT_FILE)`; allocations are a hundred times slower then"
                    .into(),
            });
        };
        let stats = ::dhat::HeapStats::get();
        Ok(DhatState {
            at: Timestamp::now(),
            since,
            file,
            allocated_bytes: stats.total_bytes,
            allocated_count: stats.total_blocks,
            live_bytes: stats.curr_bytes as u64,
            live_count: stats.curr_blocks as u64,
            peak_bytes: stats.max_bytes as u64,
            peak_count: stats.max_blocks as u64,
        })
    }
}

impl Skill for DhatSkill {
    type State = DhatState;

    fn about(&self) -> About {
        Self::describe()
    }

    fn collect(&self) -> Reading<DhatState> {
        Self::read()
    }

    fn functions(to: Functions<DhatState>) -> Functions<DhatState> {
        to.record("stats", "What was allocated since dhat started, what is alive, and the peak.", "dhat.stats()", stats)
    }

    fn metrics(&self, out: &mut Metrics) {
        // While it does not run there is a gap.
        if let Ok(state) = Self::read() {
            out.record(&LIVE, state.live_bytes);
            out.record(&ALLOCATED, state.allocated_bytes);
        }
    }

    fn sources(&self) -> Vec<Source> {
        let cost = "about 1 µs an allocation, one thread at a time";
        vec![
            Source::live("dhat", "Every allocation, exactly; who made it, in a file at the end.", cost)
                .when(&Self::read()),
        ]
    }
}

fn stats(view: &View<'_, DhatState>, _: NoArguments) -> Result<DhatStats, CallError> {
    Ok(DhatStats {
        allocated_bytes: view.allocated_bytes,
        allocated_count: view.allocated_count,
        live_bytes: view.live_bytes,
        live_count: view.live_count,
        peak_bytes: view.peak_bytes,
        peak_count: view.peak_count,
        running_ms: millis(view.at.since(view.since)),
        file: Path::display(&view.file).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_allocator_is_an_error_with_the_fix_and_no_zero() {
        let error = start("never-written.json").unwrap_err();
        assert_eq!(error, StartError::NotGlobalAllocator);
        assert!(error.to_string().contains("static A: lens::dhat::Alloc"));
        assert_eq!(DhatSkill.collect().unwrap_err().code(), "not_enabled");
        assert!(!Path::new("never-written.json").exists());
    }
}
