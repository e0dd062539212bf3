//! The threads of this process, and the load of single processors, between two samples some seconds apart. Separate from
//! `cpu` because a sample costs a file for each thread, so it is taken seldom.

use lens_core::time::millis;
use lens_core::{CallError, OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::cpu::{Shares, Ticks, ratio};

/// How often threads and single processors are sampled.
pub const THREAD_INTERVAL: Duration = Duration::from_secs(10);

/// The most threads that are read. A sample of so many takes about 20 ms of lens's own time.
pub const MAX_THREADS: usize = 2048;

/// The threads now, with what they had used a while ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threads {
    /// All of them, up to [`MAX_THREADS`].
    pub threads: Vec<Thread>,
    /// Threads beyond that.
    pub left_out_count: u64,
    /// The sample that they are compared with.
    pub earlier: Option<ThreadSample>,
    /// Microseconds since lens started at which they were read.
    pub at_us: u64,
    /// Each processor's ticks at that instant.
    pub cores: Reading<Vec<(u32, Ticks)>>,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The kernel's id of it.
    pub tid: u32,
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// The letter of its state.
    pub state: char,
    /// The processor that it ran on last.
    pub processor: Option<u32>,
    /// What it used so far.
    pub times: Option<ThreadTimes>,
    /// The kernel's function in which it waits, if that is told.
    pub wait_channel: Option<String>,
}

/// `/proc/self/task/…/schedstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTimes {
    /// Nanoseconds on a processor.
    pub running_ns: u64,
    /// Nanoseconds for which it was ready and waited for a processor.
    pub waiting_ns: u64,
}

impl ThreadTimes {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        Some(Self { running_ns: numbers.next()?.ok()?, waiting_ns: numbers.next()?.ok()? })
    }
}

/// What all threads and processors had used at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadSample {
    /// Microseconds since lens started.
    pub at_us: u64,
    /// In the order of thread ids.
    pub threads: Vec<(u32, ThreadTimes)>,
    /// By processor.
    pub cores: Vec<(u32, Ticks)>,
}

/// What `os.threads` sorts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThreadsBy {
    /// Processor time in the window.
    Cpu,
    /// Time in the window for which the thread was ready and waited for a processor.
    Wait,
    /// Name, then id.
    Name,
}

/// The arguments of `os.threads`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ThreadsTop {
    /// How many rows at most.
    pub limit: u32,
    /// The column to sort by, greatest first.
    pub by: ThreadsBy,
}

impl Default for ThreadsTop {
    fn default() -> Self {
        Self { limit: 20, by: ThreadsBy::Cpu }
    }
}

/// One operating system thread.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ThreadRow {
    /// The kernel's id of it.
    pub tid: u32,
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// What it did at the instant: `running` (or ready to), `sleeping`, `disk` (cannot be interrupted), `stopped`,
    /// `zombie`, `dead`, `idle`.
    pub state: String,
    /// The window of the numbers below: between 5 and 15 seconds, as threads are sampled every 10.
    pub window_ms: OrUnavailable<f64>,
    /// Processor time in the window; for a younger thread since it started.
    pub cpu_ms: OrUnavailable<f64>,
    /// The same, of one processor.
    pub cpu_ratio: OrUnavailable<f64>,
    /// Time in the window for which it was ready and waited for a processor: too few processors, or a quota.
    pub run_queue_ms: OrUnavailable<f64>,
    /// Processor time since the thread started.
    pub cpu_since_start_ms: OrUnavailable<f64>,
    /// The processor that it ran on last.
    pub processor: Option<u32>,
    /// The kernel's function in which it waits; null while it runs, or where the kernel does not tell.
    pub wait_channel: Option<String>,
}

/// One processor of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CoreRow {
    /// Its number.
    pub core: u32,
    /// The window of the numbers below: between 5 and 15 seconds.
    pub window_ms: f64,
    /// What is neither idle nor iowait.
    pub busy_ratio: f64,
    /// User code.
    pub user_ratio: f64,
    /// The kernel, for processes.
    pub system_ratio: f64,
    /// Interrupts. One processor far above the others takes all of a device's.
    pub irq_ratio: f64,
    /// Taken by the hypervisor for somebody else.
    pub steal_ratio: f64,
    /// Idle while a disk was busy.
    pub iowait_ratio: f64,
}

fn not_yet() -> Unavailable {
    Unavailable::NotYet { until: "lens has run for 5 seconds".into() }
}

fn nanos_ms(nanos: u64) -> f64 {
    millis(Duration::from_nanos(nanos))
}

impl Threads {
    pub(super) fn top(&self, top: ThreadsTop) -> Vec<ThreadRow> {
        let mut rows: Vec<ThreadRow> = self.threads.iter().map(|thread| self.row(thread)).collect();
        let greatest_first = |value: fn(&ThreadRow) -> &OrUnavailable<f64>| {
            move |one: &ThreadRow, other: &ThreadRow| {
                // Without a window the time since the start stands in; then the order of names.
                let key = |row: &ThreadRow| value(row).0.clone().or(row.cpu_since_start_ms.0.clone()).unwrap_or(0.0);
                key(other).total_cmp(&key(one)).then_with(|| one.name.cmp(&other.name)).then(one.tid.cmp(&other.tid))
            }
        };
        match top.by {
            ThreadsBy::Cpu => rows.sort_by(greatest_first(|row| &row.cpu_ms)),
            ThreadsBy::Wait => rows.sort_by(greatest_first(|row| &row.run_queue_ms)),
            ThreadsBy::Name => rows.sort_by(|one, other| one.name.cmp(&other.name).then(one.tid.cmp(&other.tid))),
        }
        rows.truncate(usize::try_from(top.limit).unwrap_or(usize::MAX));
        rows
    }

    fn row(&self, thread: &Thread) -> ThreadRow {
        let times = thread.times.ok_or_else(|| Unavailable::NotCompiledIn {
            what: "the time of single threads".into(),
            fix: "run on a kernel with CONFIG_SCHED_INFO".into(),
        });
        let window = self.earlier.as_ref().map(|earlier| self.at_us.saturating_sub(earlier.at_us)).ok_or_else(not_yet);
        let spent = times.clone().and_then(|times| self.spent(thread.tid, times));
        let window_ms = window.map(|window| ratio(window, 1000));
        let cpu_ms = spent.clone().map(|spent| nanos_ms(spent.running_ns));
        ThreadRow {
            tid: thread.tid,
            name: thread.name.clone(),
            state: state_word(thread.state).to_owned(),
            cpu_ratio: cpu_ms.clone().and_then(|cpu| Ok((cpu / window_ms.clone()?).min(1.0))).into(),
            window_ms: window_ms.into(),
            cpu_ms: cpu_ms.into(),
            run_queue_ms: spent.map(|spent| nanos_ms(spent.waiting_ns)).into(),
            cpu_since_start_ms: times.map(|times| nanos_ms(times.running_ns)).into(),
            processor: thread.processor,
            wait_channel: thread.wait_channel.clone(),
        }
    }

    /// What a thread used since the earlier sample.
    fn spent(&self, tid: u32, times: ThreadTimes) -> Reading<ThreadTimes> {
        let earlier = self.earlier.as_ref().ok_or_else(not_yet)?;
        let known = earlier.threads.binary_search_by_key(&tid, |(known, _)| *known);
        match known.ok().map(|index| earlier.threads[index].1) {
            Some(known) if known.running_ns <= times.running_ns => Ok(ThreadTimes {
                running_ns: times.running_ns - known.running_ns,
                waiting_ns: times.waiting_ns.saturating_sub(known.waiting_ns),
            }),
            None if self.left_out_count > 0 => {
                Err(Unavailable::failed(format!("only {MAX_THREADS} threads are sampled, and this was none of them")))
            }
            // It started since then; or its id belonged to another one that has ended.
            Some(_) | None => Ok(times),
        }
    }

    pub(super) fn cores(&self) -> Result<Vec<CoreRow>, CallError> {
        let unavailable = |reason| CallError::Unavailable { subject: "`os.cores`".to_owned(), reason };
        let now = self.cores.as_ref().map_err(|reason| unavailable(reason.clone()))?;
        let earlier = self.earlier.as_ref().ok_or_else(|| unavailable(not_yet()))?;
        let window_ms = ratio(self.at_us.saturating_sub(earlier.at_us), 1000);
        let row = |(core, ticks): &(u32, Ticks)| {
            let (_, before) = earlier.cores.iter().find(|(known, _)| known == core)?;
            let shares = Shares::between(*before, *ticks)?;
            Some(CoreRow {
                core: *core,
                window_ms,
                busy_ratio: shares.busy(),
                user_ratio: shares.user,
                system_ratio: shares.system,
                irq_ratio: shares.irq,
                steal_ratio: shares.steal,
                iowait_ratio: shares.iowait,
            })
        };
        Ok(now.iter().filter_map(row).collect())
    }
}

/// The state's word; the letters are those of `/proc/self/stat`.
fn state_word(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "disk",
        'T' | 't' => "stopped",
        'Z' => "zombie",
        'X' | 'x' => "dead",
        'I' => "idle",
        _ => "unknown",
    }
}

/// The name, state and last processor out of a thread's `stat`. The name stands in parentheses and may hold any of them,
/// so it ends at the last one.
pub(crate) fn parse_stat(text: &str) -> Option<(String, char, Option<u32>)> {
    let (head, tail) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3 of proc(5), the processor is field 39.
    let processor = fields.nth(35).and_then(|field| field.parse().ok());
    Some((name.to_owned(), state, processor))
}
