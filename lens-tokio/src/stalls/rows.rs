//! What the skill shows of a stall. Separate because it is the wire: plain data, frozen when the skill is collected.

use std::sync::Arc;
use std::time::Duration;

use lens_core::time::millis;
use lens_core::{OnDemand, OrUnavailable, Reading, Timestamp, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stack::{Frame, Origin, Resolved};

use super::blocking::BlockingThreadRow;
use super::log::{Stall, Suspect, Taken};
use super::watchdog::Shared;

/// How long a collection waits for the functions of stacks that were just taken. Of a stall that goes on it does not before
/// that has lasted as long: it is shown at once, and its functions are there soon.
const SYMBOLS: Duration = Duration::from_millis(100);

/// The stalls of one instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StallsState {
    /// Those that go on, the longest first.
    pub now: Vec<StallRow>,
    /// Those that ended, the newest first.
    pub past: Vec<StallRow>,
    /// What the threads of blocking pools wait in; captures of before do not have it.
    #[serde(default = "not_saved")]
    pub(super) blocking: OnDemand<Vec<BlockingThreadRow>>,
}

fn not_saved() -> OnDemand<Vec<BlockingThreadRow>> {
    OnDemand::from(Err(Unavailable::NotInCapture { what: "what blocking threads wait in".into() }))
}

/// What kind of stall it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StallKind {
    /// One poll of a task keeps a worker.
    Poll,
    /// The task has handed its worker over to another thread: legitimate, and no stall of the runtime.
    BlockInPlace,
    /// A worker is not parked and publishes nothing: it is in one long poll or in a few long ones. Which task is not known.
    NoProgress,
}

/// One stall.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StallRow {
    /// `poll`: one poll of a task. `block_in_place`: legitimate. `no_progress`: the worker publishes nothing; the task is
    /// not known.
    pub kind: StallKind,
    /// The task's id; absent where hooks do not tell.
    pub task_id: Option<u64>,
    /// Where the task was spawned, `"src/cart.rs:41:9"`; absent where hooks do not tell.
    pub spawn_place: Option<String>,
    /// The name of the runtime, if it has one.
    pub runtime: Option<String>,
    /// Which worker of its runtime is stalled.
    pub worker: Option<u32>,
    /// The name of the thread, as the kernel keeps it (15 letters).
    pub thread: Option<String>,
    /// The operating system's id of the thread.
    pub thread_id: Option<u32>,
    /// When it was first seen: up to 10 ms after it began, and up to 5 ms if something else was polled just before. Where
    /// nothing else says that the runtime is driven at all, since something waits for it.
    pub started_at: Timestamp,
    /// How long it lasted, or lasts so far: from `started_at` to the last look at it, some 5 ms before its end.
    pub duration_ms: f64,
    /// Whether it has ended.
    pub is_over: bool,
    /// Whether it is the task's first poll, so that the task has never yielded; absent where hooks do not tell.
    pub is_first_poll: Option<bool>,
    /// How much of that time, but for its first milliseconds, the thread ran on a processor; absent where the kernel does not
    /// tell.
    pub cpu_ms: Option<f64>,
    /// The same for the time in which the thread was ready and got no processor.
    pub cpu_wait_ms: Option<f64>,
    /// The system call that the thread waited in when its stack was taken, `"futex"`; absent if it was computing, or if no
    /// stack could be taken.
    pub waits_in: Option<String>,
    /// The line of the service's own code that was running or had called, `"src/cart.rs:41"`: the innermost such frame.
    pub place: Option<String>,
    /// The function of that frame.
    pub function: Option<String>,
    /// What would show the place, where it is not known and something would: a setting of the system or of the build.
    pub place_fix: Option<String>,
    /// The stack when the stall was found, or as soon as it could be taken afterwards, innermost frame first.
    pub frames: OrUnavailable<Vec<Frame>>,
    /// Whether the stack reaches down to the thread's first function.
    pub is_complete: Option<bool>,
}

/// The stalls of one spawn place.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SiteStallsRow {
    /// Where the stalled tasks were spawned; absent for workers without progress, of which the task is not known.
    pub spawn_place: Option<String>,
    /// How many stalls are kept of it, those that go on included.
    pub count: u64,
    /// How many of them go on.
    pub stalled_now: u64,
    /// How long they lasted together.
    pub sum_ms: f64,
    /// The longest of them.
    pub longest_ms: f64,
    /// When the latest began.
    pub last_started_at: Timestamp,
    /// Where the latest of them with a stack was stuck.
    pub place: Option<String>,
}

/// The stalls that were stuck in the same place, called the same way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StackStallsRow {
    /// The line of the service's own code; absent if the stack has none.
    pub place: Option<String>,
    /// The function of that line.
    pub function: Option<String>,
    /// The system call that the latest of them waited in.
    pub waits_in: Option<String>,
    /// How many stalls are kept of it, those that go on included.
    pub count: u64,
    /// How many of them go on.
    pub stalled_now: u64,
    /// How long they lasted together.
    pub sum_ms: f64,
    /// The longest of them.
    pub longest_ms: f64,
    /// When the latest began.
    pub last_started_at: Timestamp,
    /// Where the tasks were spawned, each once.
    pub spawn_places: Vec<String>,
    /// The stack of the latest, innermost frame first.
    pub frames: OrUnavailable<Vec<Frame>>,
}

impl StallsState {
    pub(super) fn freeze(shared: &Arc<Shared>) -> Self {
        let (now, past) = {
            let log = shared.log();
            (log.now(), log.past().cloned().collect::<Vec<_>>())
        };
        shared.symbolizer.wait(&awaited(&now, &past), SYMBOLS);
        let same = Arc::clone(shared);
        Self {
            now: now.iter().map(|stall| StallRow::new(stall, &shared.lines)).collect(),
            past: past.iter().map(|stall| StallRow::new(stall, &shared.lines)).collect(),
            blocking: OnDemand::new(move || super::blocking::look(&same.symbolizer)),
        }
    }
}

/// The stacks that a collection waits for.
fn awaited(now: &[Stall], past: &[Stall]) -> Vec<Arc<Resolved>> {
    let old = now.iter().filter(|stall| stall.duration >= SYMBOLS);
    old.chain(past).flat_map(|stall| stall.stack.resolved()).collect()
}

impl Taken {
    fn resolved(&self) -> Vec<Arc<Resolved>> {
        match self {
            Self::Stack(stack) => vec![Arc::clone(stack)],
            Self::OneOf(suspects) => suspects.iter().map(|suspect| Arc::clone(&suspect.stack)).collect(),
            Self::NotYet | Self::Unavailable(_) => Vec::new(),
        }
    }
}

impl StallRow {
    pub(super) fn new(stall: &Stall, lines: &Reading<()>) -> Self {
        let mut row = Self {
            kind: stall.kind,
            task_id: stall.task,
            spawn_place: stall.spawn_place.clone(),
            runtime: stall.runtime.clone(),
            worker: stall.worker,
            thread: stall.thread.clone(),
            thread_id: stall.tid,
            started_at: stall.started_at,
            duration_ms: millis(stall.duration),
            is_over: stall.ended.is_some(),
            is_first_poll: stall.is_first_poll,
            cpu_ms: stall.given.map(|given| millis(given.ran())),
            cpu_wait_ms: stall.given.map(|given| millis(given.waited())),
            waits_in: None,
            place: None,
            function: None,
            place_fix: None,
            frames: OrUnavailable(Err(Unavailable::NotYet { until: "the stack is taken".into() })),
            is_complete: None,
        };
        match &stall.stack {
            Taken::NotYet => {}
            Taken::Unavailable(reason) => row.frames = OrUnavailable(Err(reason.clone())),
            Taken::Stack(stack) => row.show(stack),
            Taken::OneOf(suspects) => row.choose(suspects),
        }
        if row.place.is_none() {
            row.place_fix = match &row.frames.0 {
                Ok(_) => lines.as_ref().err(),
                Err(reason) => Some(reason),
            }
            .and_then(|reason| match reason {
                Unavailable::NotEnabled { how: fix } | Unavailable::NotCompiledIn { fix, .. } => Some(fix.to_string()),
                _ => None,
            });
        }
        row
    }

    fn show(&mut self, resolved: &Resolved) {
        let stack = resolved.stack();
        self.waits_in = stack.call();
        self.is_complete = Some(stack.is_complete());
        let Some(frames) = resolved.frames() else {
            self.frames = not_resolved();
            return;
        };
        if let Some(own) = own_frame(frames) {
            self.place.clone_from(&own.place);
            self.function = Some(own.function.clone());
        }
        self.frames = OrUnavailable(Ok(frames.to_vec()));
    }

    /// Shows the one thread that can be the stalled worker, if there is just one.
    fn choose(&mut self, suspects: &[Suspect]) {
        if suspects.iter().any(|suspect| suspect.stack.frames().is_none()) {
            self.frames = not_resolved();
            return;
        }
        let mut stalled =
            suspects.iter().filter(|suspect| suspect.stack.frames().is_some_and(|frames| is_in_a_poll(frames)));
        match (stalled.next(), stalled.next()) {
            (Some(suspect), None) => {
                self.thread = Some(suspect.thread.clone());
                self.thread_id = Some(suspect.tid);
                self.show(&suspect.stack);
            }
            _ => {
                let how = "start the runtime with #[tokio::main(crate = \"lens\")] or call lens::instrument(&mut builder): \
                           without that it is not known which thread is which worker";
                self.frames = OrUnavailable(Err(Unavailable::NotEnabled { how: how.into() }));
            }
        }
    }
}

fn not_resolved() -> OrUnavailable<Vec<Frame>> {
    OrUnavailable(Err(Unavailable::NotYet { until: "the functions of the stack are looked up".into() }))
}

/// The innermost frame of the service's own code, or else of a dependency's.
pub(super) fn own_frame(frames: &[Frame]) -> Option<&Frame> {
    let of = |origin| frames.iter().find(move |frame| frame.origin == origin);
    of(Origin::Service).or_else(|| of(Origin::Dependency))
}

/// Whether the frames are those of a thread that is inside of a runtime.
pub(super) fn is_in_a_runtime(frames: &[Frame]) -> bool {
    frames.iter().any(|frame| frame.function.contains("tokio::runtime::"))
}

/// Whether the stack is a worker's that is not parked.
fn is_in_a_poll(frames: &[Frame]) -> bool {
    let has = |file: &str| frames.iter().any(|frame| frame.place.as_ref().is_some_and(|place| place.contains(file)));
    has("/runtime/scheduler/multi_thread/worker.rs:")
        && !has("/runtime/scheduler/multi_thread/park.rs:")
        && !has("/runtime/park.rs:")
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::stack::{StackReader, Symbolizer};

    #[test]
    fn a_young_stall_is_shown_before_its_functions_are_known() {
        let symbolizer = Symbolizer::new();
        let stall = |duration| Stall {
            stack: Taken::Stack(symbolizer.resolve(StackReader::new().unwrap().stack_of(&[2]))),
            ..Stall::of(StallKind::Poll, duration)
        };
        let (old, young) = (stall(SYMBOLS), stall(SYMBOLS - Duration::from_millis(1)));
        let stacks = awaited(&[old.clone(), young.clone()], &[]);
        assert!(matches!((&stacks[..], &old.stack), ([only], Taken::Stack(old)) if Arc::ptr_eq(only, old)));
        assert_eq!(awaited(&[], &[young]).len(), 1, "it is over");
    }

    #[test]
    fn a_row_without_a_place_says_what_would_show_it() {
        let symbolizer = Symbolizer::new();
        let nameless = || {
            let resolved = symbolizer.resolve(StackReader::new().unwrap().stack_of(&[2]));
            symbolizer.wait(std::slice::from_ref(&resolved), Duration::from_secs(30));
            Taken::Stack(resolved)
        };
        let not_enabled = || Taken::Unavailable(Unavailable::NotEnabled { how: "allow it".into() });
        let failed = || Taken::Unavailable(Unavailable::failed("it is gone"));
        let no_lines = Err(Unavailable::NotCompiledIn { what: "a table".into(), fix: "compile it".into() });
        let unsupported = Err(Unavailable::UnsupportedPlatform { needs: "another".into() });
        for (stack, lines, expected) in [
            (nameless(), &no_lines, Some("compile it")),
            (nameless(), &unsupported, None),
            (nameless(), &Ok(()), None),
            (not_enabled(), &no_lines, Some("allow it")),
            (not_enabled(), &Ok(()), Some("allow it")),
            (failed(), &no_lines, None),
            (Taken::NotYet, &no_lines, None),
        ] {
            let stall = Stall { stack, ..Stall::of(StallKind::Poll, Duration::from_secs(1)) };
            let row = StallRow::new(&stall, lines);
            assert_eq!((row.place, row.place_fix.as_deref()), (None, expected), "{:?} {lines:?}", stall.stack);
        }
    }
}
