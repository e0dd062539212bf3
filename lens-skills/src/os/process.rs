//! This process: what it holds and what it used since it started. Separate because it is the service's own cost, not the
//! machine's.

use lens_core::{OrUnavailable, Reading, Timestamp, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cpu::ratio;

/// What the kernel tells of this process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its id, as itself sees it.
    pub pid: u32,
    /// When it started.
    pub started_at: Reading<Timestamp>,
    /// How long ago that is, in milliseconds.
    pub uptime_ms: Reading<f64>,
    /// What `/proc/self/status` says.
    pub status: Reading<Status>,
    /// Open file descriptors.
    pub fd_count: Reading<u64>,
    /// How many there may be, soft and hard.
    pub fd_limit: (Option<u64>, Option<u64>),
    /// Counts since the start.
    pub usage: Reading<Usage>,
    /// Bytes read and written.
    pub io: Reading<Io>,
    /// Areas of the address space.
    pub map_count: Reading<u64>,
    /// How many of them there may be.
    pub map_limit: Reading<u64>,
    /// How willingly the kernel kills it for want of memory: 0 to 2000.
    pub oom_score: Reading<u64>,
}

/// The numbers of `/proc/self/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `VmRSS`.
    pub rss_bytes: u64,
    /// `VmHWM`.
    pub peak_rss_bytes: Option<u64>,
    /// `RssAnon`.
    pub anon_bytes: Option<u64>,
    /// `RssFile`.
    pub file_bytes: Option<u64>,
    /// `RssShmem`.
    pub shmem_bytes: Option<u64>,
    /// `VmSize`.
    pub virtual_bytes: u64,
    /// `VmSwap`.
    pub swap_bytes: Option<u64>,
    /// `Threads`.
    pub thread_count: u64,
}

impl Status {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            rest.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let bytes = |name: &str| field(name).map(|kib| kib * 1024);
        Some(Self {
            rss_bytes: bytes("VmRSS")?,
            peak_rss_bytes: bytes("VmHWM"),
            anon_bytes: bytes("RssAnon"),
            file_bytes: bytes("RssFile"),
            shmem_bytes: bytes("RssShmem"),
            virtual_bytes: bytes("VmSize")?,
            swap_bytes: bytes("VmSwap"),
            thread_count: field("Threads")?,
        })
    }
}

/// The counts of `getrusage(RUSAGE_SELF)`: of all threads, those that have ended included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user code, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
    /// Page faults without a disk.
    pub minor_faults: u64,
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Context switches because the thread waited.
    pub voluntary_switches: u64,
    /// Context switches because its time was up.
    pub involuntary_switches: u64,
}

/// The counts of `/proc/self/io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Io {
    /// Bytes that calls like `read` gave.
    pub rchar: u64,
    /// Bytes that calls like `write` took.
    pub wchar: u64,
    /// Calls like `read`.
    pub syscr: u64,
    /// Calls like `write`.
    pub syscw: u64,
    /// Bytes fetched from disks.
    pub read_bytes: u64,
    /// Bytes sent to disks.
    pub write_bytes: u64,
}

impl Io {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse::<u64>().ok())
        };
        Some(Self {
            rchar: field("rchar")?,
            wchar: field("wchar")?,
            syscr: field("syscr")?,
            syscw: field("syscw")?,
            read_bytes: field("read_bytes")?,
            write_bytes: field("write_bytes")?,
        })
    }
}

/// This process.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProcessRow {
    /// Its id; in a container, the one that it has in there.
    pub pid: u32,
    /// When it started.
    pub started_at: OrUnavailable<Timestamp>,
    /// How long ago that is.
    pub uptime_ms: OrUnavailable<f64>,
    /// Memory that is in RAM, shared libraries included (`VmRSS`).
    pub rss_bytes: OrUnavailable<u64>,
    /// The most that ever was (`VmHWM`).
    pub peak_rss_bytes: OrUnavailable<Option<u64>>,
    /// The part of it that is the process's own: heap and stacks (`RssAnon`).
    pub anon_bytes: OrUnavailable<Option<u64>>,
    /// The part of it that is mapped files (`RssFile`).
    pub file_bytes: OrUnavailable<Option<u64>>,
    /// Address space (`VmSize`). Large is normal: it counts what is reserved, not what is used.
    pub virtual_bytes: OrUnavailable<u64>,
    /// Memory that was swapped out (`VmSwap`).
    pub swap_bytes: OrUnavailable<Option<u64>>,
    /// Threads.
    pub thread_count: OrUnavailable<u64>,
    /// Open file descriptors.
    pub fd_count: OrUnavailable<u64>,
    /// How many there may be (soft `RLIMIT_NOFILE`); null without a limit.
    pub fd_soft_limit: Option<u64>,
    /// To how many the process may raise that itself (hard `RLIMIT_NOFILE`); null without a limit.
    pub fd_hard_limit: Option<u64>,
    /// Open of the soft limit; null without one.
    pub fd_ratio: OrUnavailable<Option<f64>>,
    /// Processor time in user code since the start, of all threads, those that have ended included.
    pub cpu_user_ms: OrUnavailable<f64>,
    /// Processor time in the kernel since the start.
    pub cpu_system_ms: OrUnavailable<f64>,
    /// Context switches since the start because a thread waited for something.
    pub voluntary_switches_total: OrUnavailable<u64>,
    /// Context switches since the start because a thread's time was up: many mean too few processors.
    pub involuntary_switches_total: OrUnavailable<u64>,
    /// Page faults since the start that needed no disk.
    pub minor_faults_total: OrUnavailable<u64>,
    /// Page faults since the start that waited for a disk: many mean that memory is short.
    pub major_faults_total: OrUnavailable<u64>,
    /// Bytes fetched from disks since the start; what came out of the page cache is not in it.
    pub disk_read_bytes: OrUnavailable<u64>,
    /// Bytes sent to disks since the start, when they were handed to the page cache.
    pub disk_written_bytes: OrUnavailable<u64>,
    /// Bytes that calls like `read` gave since the start: files, pipes, sockets.
    pub read_bytes: OrUnavailable<u64>,
    /// Bytes that calls like `write` took since the start.
    pub written_bytes: OrUnavailable<u64>,
    /// Calls like `read` since the start.
    pub read_calls_total: OrUnavailable<u64>,
    /// Calls like `write` since the start.
    pub write_calls_total: OrUnavailable<u64>,
    /// Areas of the address space: mapped files, stacks, arenas.
    pub map_count: OrUnavailable<u64>,
    /// How many there may be (`vm.max_map_count`): at the limit allocations fail with memory left.
    pub map_limit: OrUnavailable<u64>,
    /// How willingly the kernel kills this process for want of memory: 0 (never) to 2000.
    pub oom_score: OrUnavailable<u64>,
}

impl Process {
    /// Open file descriptors of the soft limit; `None` without a limit.
    pub(super) fn fd_ratio(&self) -> Reading<Option<f64>> {
        let open = self.fd_count.clone()?;
        Ok(self.fd_limit.0.filter(|limit| *limit > 0).map(|limit| ratio(open, limit)))
    }

    pub(super) fn row(&self) -> ProcessRow {
        let status = || self.status.clone();
        let usage = || self.usage.clone();
        let io = || self.io.clone();
        ProcessRow {
            pid: self.pid,
            started_at: self.started_at.clone().into(),
            uptime_ms: self.uptime_ms.clone().into(),
            rss_bytes: status().map(|status| status.rss_bytes).into(),
            peak_rss_bytes: status().map(|status| status.peak_rss_bytes).into(),
            anon_bytes: status().map(|status| status.anon_bytes).into(),
            file_bytes: status().map(|status| status.file_bytes).into(),
            virtual_bytes: status().map(|status| status.virtual_bytes).into(),
            swap_bytes: status().map(|status| status.swap_bytes).into(),
            thread_count: status().map(|status| status.thread_count).into(),
            fd_count: self.fd_count.clone().into(),
            fd_soft_limit: self.fd_limit.0,
            fd_hard_limit: self.fd_limit.1,
            fd_ratio: self.fd_ratio().into(),
            cpu_user_ms: usage().map(|usage| ratio(usage.user_us, 1000)).into(),
            cpu_system_ms: usage().map(|usage| ratio(usage.system_us, 1000)).into(),
            voluntary_switches_total: usage().map(|usage| usage.voluntary_switches).into(),
            involuntary_switches_total: usage().map(|usage| usage.involuntary_switches).into(),
            minor_faults_total: usage().map(|usage| usage.minor_faults).into(),
            major_faults_total: usage().map(|usage| usage.major_faults).into(),
            disk_read_bytes: io().map(|io| io.read_bytes).into(),
            disk_written_bytes: io().map(|io| io.write_bytes).into(),
            read_bytes: io().map(|io| io.rchar).into(),
            written_bytes: io().map(|io| io.wchar).into(),
            read_calls_total: io().map(|io| io.syscr).into(),
            write_calls_total: io().map(|io| io.syscw).into(),
            map_count: self.map_count.clone().into(),
            map_limit: self.map_limit.clone().into(),
            oom_score: self.oom_score.clone().into(),
        }
    }
}

/// One limit of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name in `setrlimit(2)` without `RLIMIT_`, in lower case.
    pub name: String,
    /// What it counts.
    pub unit: String,
    /// The one that is enforced; `None` for no limit.
    pub soft: Option<u64>,
    /// To what the process may raise it; `None` for no limit.
    pub hard: Option<u64>,
}

/// One limit of this process and how much of it is used.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LimitRow {
    /// Its name in `setrlimit(2)` without `RLIMIT_`, in lower case: `nofile`, `stack` …
    pub name: String,
    /// What it counts: `count`, `bytes`, `seconds`, `µs`.
    pub unit: String,
    /// The one that is enforced; null for no limit.
    pub soft: Option<u64>,
    /// To what the process may raise it; null for no limit.
    pub hard: Option<u64>,
    /// How much of it is used, for `nofile` and `as`; null for the others, which nobody counts for a process.
    pub used: Option<u64>,
}

pub(super) fn limits(limits: &[Limit], process: &Process) -> Vec<LimitRow> {
    let row = |limit: &Limit| LimitRow {
        name: limit.name.clone(),
        unit: limit.unit.clone(),
        soft: limit.soft,
        hard: limit.hard,
        used: match limit.name.as_str() {
            "nofile" => process.fd_count.clone().ok(),
            "as" => process.status.as_ref().ok().map(|status| status.virtual_bytes),
            _ => None,
        },
    };
    limits.iter().map(row).collect()
}

/// A process without `/proc/self/stat` has no start.
pub(crate) fn no_start() -> Unavailable {
    Unavailable::failed("/proc/self/stat and /proc/uptime don't tell when the process started")
}
