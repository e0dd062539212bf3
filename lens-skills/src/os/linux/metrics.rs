//! What `os` records every second. Separate because it is the part that runs all the time: it reads few files, into a
//! kept buffer.

use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use lens_core::{Metric, Metrics, Reading, Unit};

use super::process::parsed;
use super::{machine, machine_pressure, process, rusage};
use crate::file::Files;
use crate::os::cgroup::Cgroup;
use crate::os::cpu::{Cpu, CpuSample, Shares, ratio};
use crate::os::pressure::Pressure;

static CPU_RATIO: Metric =
    Metric::ratio("cpu_ratio", "Time of the machine's processors that is neither idle nor iowait.").bad_when_up();
static CPU_STEAL_RATIO: Metric =
    Metric::ratio("cpu_steal_ratio", "Time that the hypervisor gave to somebody else.").bad_when_up();
static CPU_IOWAIT_RATIO: Metric =
    Metric::ratio("cpu_iowait_ratio", "Idle time of the machine's processors while a disk was busy.").bad_when_up();
static PROCESS_CPU_CORES: Metric =
    Metric::gauge("process_cpu_cores", Unit::Count, "Processors' worth of time that this process used.").bad_when_up();
static PROCESS_CPU_RATIO: Metric = Metric::ratio(
    "process_cpu_ratio",
    "Processor time that this process used, of what its affinity and its quota let it have.",
)
.bad_when_up();
static LOAD1: Metric = Metric::gauge("load1", Unit::Count, "Load average of the machine over a minute.").bad_when_up();
static MEMORY_AVAILABLE_BYTES: Metric =
    Metric::gauge("memory_available_bytes", Unit::Bytes, "Memory of the machine that can be had without swapping.")
        .bad_when_down();
static MEMORY_RATIO: Metric = Metric::ratio(
    "memory_ratio",
    "How full the memory limit is that applies to this process: a cgroup's working set of its limit, or the machine's.",
)
.bad_when_up();
static RSS_BYTES: Metric = Metric::gauge("rss_bytes", Unit::Bytes, "Memory of this process in RAM.").bad_when_up();
static THREAD_COUNT: Metric = Metric::gauge("thread_count", Unit::Count, "Threads of this process.").bad_when_up();
static FD_COUNT: Metric =
    Metric::gauge("fd_count", Unit::Count, "Open file descriptors of this process.").bad_when_up();
static FD_RATIO: Metric =
    Metric::ratio("fd_ratio", "Open file descriptors of the soft limit (RLIMIT_NOFILE).").bad_when_up();
static MAJOR_FAULTS: Metric =
    Metric::counter("major_faults", Unit::Count, "Page faults of this process that waited for a disk.").bad_when_up();
static INVOLUNTARY_SWITCHES: Metric = Metric::counter(
    "involuntary_switches",
    Unit::Count,
    "Context switches of this process because a thread's time was up.",
)
.bad_when_up();
static THROTTLED_MS: Metric = Metric::counter(
    "throttled_ms",
    Unit::Milliseconds,
    "Time for which a processor quota kept threads of the process's cgroups from running.",
)
.bad_when_up();
static THROTTLED_PERIODS: Metric = Metric::counter(
    "throttled_periods",
    Unit::Count,
    "Enforcement periods in which a processor quota was used up (nr_throttled).",
)
.bad_when_up();
static OOM_KILLS: Metric =
    Metric::counter("oom_kills", Unit::Count, "Processes of this process's cgroup killed for want of memory.")
        .bad_when_up();
static PRESSURE_RATIO: Metric = Metric::ratio(
    "pressure_ratio",
    "Share of the last second in which tasks of the machine could not go on for want of a resource: cpu_some, \
     memory_some, memory_full, io_some, io_full.",
)
.bad_when_up();
static MAX_DISK_USED_RATIO: Metric =
    Metric::ratio("max_disk_used_ratio", "How full the fullest local, writable file system is; every 10 s.")
        .bad_when_up();

/// The part of a processor that counting file descriptors may take on kernels where that means listing them.
const FD_COUNT_SHARE: u32 = 200;

/// What the metrics need of the last second.
#[derive(Debug)]
pub(super) struct Fast {
    pressure: Option<(Instant, Pressure)>,
    fds_are_slow: bool,
    count_fds_after: Instant,
}

impl Fast {
    pub(super) fn new() -> Self {
        Self { pressure: None, fds_are_slow: process::fd_count_is_slow(), count_fds_after: Instant::now() }
    }

    pub(super) fn record(
        &mut self,
        out: &mut Metrics,
        previous: Option<CpuSample>,
        sample: Reading<CpuSample>,
        cgroup: &Reading<Cgroup>,
        files: &mut Files,
    ) {
        if let (Some(previous), Ok(sample)) = (previous, sample) {
            record_cpu(out, previous, sample, cgroup);
        }
        out.record_reading(&LOAD1, machine::load(files).map(|load| load.load1));
        if let Ok(memory) = machine::memory_available(files) {
            if let Some(available) = memory.available_bytes {
                out.record(&MEMORY_AVAILABLE_BYTES, available);
            }
            out.record_reading(&MEMORY_RATIO, memory.limit(cgroup).and_then(|(.., used)| used));
        }
        // The second number of statm is the resident pages.
        let rss = parsed(files, "/proc/self/statm", |text| text.split(' ').nth(1)?.parse::<u64>().ok());
        out.record_reading(&RSS_BYTES, rss.map(|pages| pages * rustix::param::page_size() as u64));
        // A directory has a link for each directory in it, and two of its own.
        if let Ok(tasks) = std::fs::metadata("/proc/self/task") {
            out.record(&THREAD_COUNT, tasks.nlink().saturating_sub(2));
        }
        self.record_fds(out);
        if let Ok(usage) = rusage::read() {
            out.record(&MAJOR_FAULTS, usage.major_faults);
            out.record(&INVOLUNTARY_SWITCHES, usage.involuntary_switches);
        }
        self.record_pressure(out, files);
        if let Ok(cgroup) = cgroup {
            if let Some(throttling) = cgroup.throttling() {
                out.record(&THROTTLED_MS, ratio(throttling.throttled_us, 1000));
                out.record(&THROTTLED_PERIODS, throttling.nr_throttled);
            }
            let events = cgroup.memory.first().and_then(|level| level.events.as_ref());
            if let Some(kills) = events.and_then(|events| events.oom_kill) {
                out.record(&OOM_KILLS, kills);
            }
        }
    }

    fn record_fds(&mut self, out: &mut Metrics) {
        let before = Instant::now();
        if self.fds_are_slow && before < self.count_fds_after {
            return;
        }
        if let Ok(count) = process::fd_count() {
            out.record(&FD_COUNT, count);
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            if let Some(limit) = limit.filter(|limit| *limit > 0) {
                out.record(&FD_RATIO, ratio(count, limit));
            }
        }
        self.count_fds_after = Instant::now() + before.elapsed() * FD_COUNT_SHARE;
    }

    fn record_pressure(&mut self, out: &mut Metrics, files: &mut Files) {
        let Ok(pressure) = machine_pressure(files) else { return };
        let now = Instant::now();
        if let Some((before, earlier)) = self.pressure.replace((now, pressure.clone())) {
            let window_us = u64::try_from((now - before).as_micros()).unwrap_or(u64::MAX).max(1);
            let mut record = |label, earlier: u64, later: u64| {
                out.record_for(&PRESSURE_RATIO, label, ratio(later.saturating_sub(earlier), window_us).min(1.0));
            };
            record("cpu_some", earlier.cpu.some.total_us, pressure.cpu.some.total_us);
            record("memory_some", earlier.memory.some.total_us, pressure.memory.some.total_us);
            record("io_some", earlier.io.some.total_us, pressure.io.some.total_us);
            if let (Some(earlier), Some(later)) = (earlier.memory.full, pressure.memory.full) {
                record("memory_full", earlier.total_us, later.total_us);
            }
            if let (Some(earlier), Some(later)) = (earlier.io.full, pressure.io.full) {
                record("io_full", earlier.total_us, later.total_us);
            }
        }
    }
}

fn record_cpu(out: &mut Metrics, previous: CpuSample, sample: CpuSample, cgroup: &Reading<Cgroup>) {
    if let Some(shares) = Shares::between(previous.machine, sample.machine) {
        out.record(&CPU_RATIO, shares.busy());
        out.record(&CPU_STEAL_RATIO, shares.steal);
        out.record(&CPU_IOWAIT_RATIO, shares.iowait);
    }
    let window_us = sample.at_us.saturating_sub(previous.at_us);
    if window_us == 0 {
        return;
    }
    let cores = ratio(sample.process_us.saturating_sub(previous.process_us), window_us);
    out.record(&PROCESS_CPU_CORES, cores);
    let quota = cgroup.as_ref().map(Cgroup::quota_cores).map_err(Clone::clone);
    let usable = Cpu::usable(machine::allowed_count(), &quota);
    out.record_reading(&PROCESS_CPU_RATIO, usable.map(|usable| (cores / usable).min(1.0)));
}

/// Records how full the disks are: not each second, for it asks each of them.
pub(super) fn record_disks(out: &mut Metrics, files: &mut Files) {
    if let Some(ratio) = machine::disks(files).ok().and_then(|disks| disks.fullest_ratio()) {
        out.record(&MAX_DISK_USED_RATIO, ratio);
    }
}
