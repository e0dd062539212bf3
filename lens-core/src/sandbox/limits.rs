//! What a query may use. Separate so that every limit, its default and what moves with it stand on one page.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// 32 KiB. More lets longer scripts in and costs parsing time and memory; fewer refuses long reports.
pub const DEFAULT_SOURCE_BYTES: usize = 32 << 10;

/// 100. More lets more deeply nested expressions, blocks and values through and needs more stack; fewer refuses them.
pub const DEFAULT_NESTING: usize = 100;

/// 100 million. More lets a query loop longer within its time; fewer ends it sooner, and at the same step on any machine.
pub const DEFAULT_STEPS: u64 = 100_000_000;

/// 1 s. More lets heavier reports finish and keeps a thread busy longer; less ends them sooner.
pub const DEFAULT_WALL: Duration = Duration::from_secs(1);

/// 10 s. More lets larger captures be saved and keeps a slot taken longer; less gives slow work up sooner.
pub const DEFAULT_WORK_WALL: Duration = Duration::from_secs(10);

/// 64 MiB. More lets a query keep more values, and costs the service that memory for as long as the query runs.
pub const DEFAULT_HEAP_BYTES: usize = 64 << 20;

/// 100 calls. More allows deeper call chains and needs more stack; fewer refuses them.
pub const DEFAULT_CALL_DEPTH: usize = 100;

/// 4 MiB of JSON. More lets larger answers out and costs memory and the connection; fewer refuses them.
pub const DEFAULT_OUTPUT_BYTES: usize = 4 << 20;

/// 1 million. More lets a query work on longer lists; fewer refuses functions that answer with more rows.
pub const DEFAULT_ROWS: usize = 1 << 20;

/// 1 MiB. More lets a query make longer texts, and single operations on them take longer; fewer refuses them.
pub const DEFAULT_TEXT_BYTES: usize = 1 << 20;

/// 1 024. More lets integers grow larger, and single operations on them take longer; fewer refuses them.
pub const DEFAULT_INT_BITS: usize = 1024;

/// 1 000. More keeps more of what a script prints; fewer ends a script that prints in a loop sooner.
pub const DEFAULT_PRINTED_LINES: usize = 1000;

/// 64 KiB. More keeps more of what a script prints; fewer ends a script that prints large values sooner.
pub const DEFAULT_PRINTED_BYTES: usize = 64 << 10;

/// 4. More answers more clients at once and lets them take more of the machine; fewer refuses them sooner.
pub const DEFAULT_CONCURRENCY: usize = 4;

/// 4. More keeps answering while threads hang in a skill's function; fewer refuses queries sooner.
pub const DEFAULT_ABANDONED: usize = 4;

/// The most errors that [`Sandbox::check`](super::Sandbox::check) tells of one script. More show everything that is wrong
/// with a long one; fewer are read sooner.
pub const MAX_FINDINGS: usize = 20;

/// The stack of a thread that evaluates: 64 MiB of addresses, of which only what is touched becomes memory. With less,
/// a debug build cannot reach the nesting that [`Limits::nesting`] allows.
pub const STACK_BYTES: usize = 64 << 20;

/// How long a query runs on any processor; on Linux, it then keeps to half of those that the service may use, so that the
/// service finds one free. Most queries take less. More lets some end without a change of processors; less spares the service
/// some milliseconds.
pub const ANYWHERE_FOR: Duration = Duration::from_millis(2);

/// How long a query runs with the priority of the service's threads, and how many steps of niceness it then steps back, on
/// Linux. What people ask takes less; what takes longer gets a third of a service thread's share where processors are short.
pub const FAIR_FOR: Duration = Duration::from_millis(50);
/// See [`FAIR_FOR`]. More leaves the service more, and lets heavy queries run into their limit on a busy machine.
pub const STEP_BACK: i32 = 5;

/// How long after its deadline a thread that does not end is given up.
pub const GRACE: Duration = Duration::from_millis(80);

/// The greatest [`Limits::nesting`] and [`Limits::call_depth`] that the stack is good for, in a debug build as well.
/// Greater settings count as these.
pub const MAX_NESTING: usize = 200;
/// See [`MAX_NESTING`].
pub const MAX_CALL_DEPTH: usize = 1000;

/// 1 h: the greatest [`Limits::wall`] and [`Limits::work_wall`]; longer ones count as this. More would keep a slot for as
/// long as a query hangs, and could not be added to an instant in the end.
pub const MAX_WALL: Duration = Duration::from_secs(60 * 60);

/// What a query may use. Whatever is exceeded ends the query with an error that names the limit, its value, the place
/// in the script and what to do; the service does not notice.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use lens_core::sandbox::Limits;
///
/// let mut limits = Limits::default();
/// limits.wall = Duration::from_millis(200);
/// assert_eq!(limits.heap_bytes, lens_core::sandbox::DEFAULT_HEAP_BYTES);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// The size of a script; [`DEFAULT_SOURCE_BYTES`].
    pub source_bytes: usize,
    /// How deeply expressions, blocks and values may be nested; [`DEFAULT_NESTING`].
    pub nesting: usize,
    /// Operations, calls and loop turns of a query, and elements that its calls go through; [`DEFAULT_STEPS`].
    pub steps: u64,
    /// The time that a query may take, or the check of one, [`MAX_WALL`] at most; [`DEFAULT_WALL`].
    pub wall: Duration,
    /// The time that other work on a query's thread may take, [`MAX_WALL`] at most;
    /// [`DEFAULT_WORK_WALL`].
    pub work_wall: Duration,
    /// The memory of all values that a query makes, also of those that it no longer needs; [`DEFAULT_HEAP_BYTES`].
    pub heap_bytes: usize,
    /// How many calls may be open at once; [`DEFAULT_CALL_DEPTH`].
    pub call_depth: usize,
    /// The size of an answer as JSON; [`DEFAULT_OUTPUT_BYTES`].
    pub output_bytes: usize,
    /// The length of any list, and of a function's answer; [`DEFAULT_ROWS`].
    pub rows: usize,
    /// The length of any text; [`DEFAULT_TEXT_BYTES`].
    pub text_bytes: usize,
    /// The size of any integer; [`DEFAULT_INT_BITS`].
    pub int_bits: usize,
    /// How many lines a query may print; [`DEFAULT_PRINTED_LINES`].
    pub printed_lines: usize,
    /// How many bytes a query may print; [`DEFAULT_PRINTED_BYTES`].
    pub printed_bytes: usize,
    /// How many queries and other work run at once; the next one is refused; [`DEFAULT_CONCURRENCY`].
    pub concurrency: usize,
    /// How many threads may be given up because they did not end in time, before everything is refused until one of
    /// them ends; [`DEFAULT_ABANDONED`].
    pub abandoned: usize,
}

impl Limits {
    /// The same limits, none of them greater than the stack and the clock allow.
    pub(super) fn clamped(mut self) -> Self {
        self.nesting = self.nesting.clamp(8, MAX_NESTING);
        self.call_depth = self.call_depth.clamp(1, MAX_CALL_DEPTH);
        self.wall = self.wall.min(MAX_WALL);
        self.work_wall = self.work_wall.min(MAX_WALL);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: DEFAULT_SOURCE_BYTES,
            nesting: DEFAULT_NESTING,
            steps: DEFAULT_STEPS,
            wall: DEFAULT_WALL,
            work_wall: DEFAULT_WORK_WALL,
            heap_bytes: DEFAULT_HEAP_BYTES,
            call_depth: DEFAULT_CALL_DEPTH,
            output_bytes: DEFAULT_OUTPUT_BYTES,
            rows: DEFAULT_ROWS,
            text_bytes: DEFAULT_TEXT_BYTES,
            int_bits: DEFAULT_INT_BITS,
            printed_lines: DEFAULT_PRINTED_LINES,
            printed_bytes: DEFAULT_PRINTED_BYTES,
            concurrency: DEFAULT_CONCURRENCY,
            abandoned: DEFAULT_ABANDONED,
        }
    }
}
