//! The skill `os`: what the machine, the control groups and the kernel tell of this process. Separate from `io` because
//! nothing here is about single files or sockets.
//!
//! Every number comes from `/proc`, `/sys/fs/cgroup`, `statvfs`, `getrusage` or a clock, and is read by lens's own thread;
//! the service's threads do nothing for it.

mod cgroup;
mod cpu;
mod disks;
mod functions;
mod load;
mod memory;
mod pressure;
mod process;
mod state;
mod threads;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

use lens_core::{About, Check, Functions, Metrics, Reading, Skill, Source, Store};

pub use cgroup::{
    Cgroup, CgroupLevelRow, CgroupRow, CpuLevel, MemoryEvents, MemoryLevel, PidsLevel, Throttling, Version,
};
pub use cpu::{CPU_WINDOW, Cpu, CpuRow, CpuSample, CpuWindow, Ticks};
pub use disks::{Disk, DiskRow, Disks, MAX_DISKS, Space};
pub use load::Load;
pub use memory::{LimitedBy, Memory, MemoryRow};
pub use pressure::{Pressure, PressureOf, PressureRow, Scope, Stalled, Stalls};
pub use process::{Io, Limit, LimitRow, Process, ProcessRow, Status, Usage};
pub use state::State;
pub use threads::{
    CoreRow, MAX_THREADS, THREAD_INTERVAL, Thread, ThreadRow, ThreadSample, ThreadTimes, Threads, ThreadsBy, ThreadsTop,
};

const PROMPT: &str = "\
The machine may be shared and the container may be smaller than it: compare with what this process can get
(os.cpu().usable_cores, os.memory().limit_bytes), not with the machine.
- os.cpu(): throttled_ratio > 0.05 means that a quota stops the service for up to 100 ms at a time, at any process_ratio.
  steal_ratio > 0.05 means that the hypervisor withholds time. process_ratio > 0.8 means that the service wants more
  than it gets; with busy_ratio high and process_cores low it is a neighbour that computes.
- os.memory(): limit_used_ratio > 0.9 ends in an OOM kill; available_bytes falling while os.process().rss_bytes is flat is
  somebody else. free_bytes is low on every healthy machine and means nothing.
- os.pressure(): some > 0.1 of memory or io is felt by users; full > 0 of memory is thrashing.
- os.process(): fd_ratio > 0.8 ends in EMFILE; map_count near map_limit makes allocations fail with memory left.
  major_faults_total that grow mean that code or data comes from a disk again and again.
- os.load_average() counts the whole machine and tasks that wait for a disk; by itself it proves nothing.
- os.threads(by=\"wait\"): run_queue_ms is time for which a thread was ready and got no processor.";

/// Reads the machine, the control groups and this process. Linux only; elsewhere it is unavailable and says so.
///
/// # Cost
///
/// Measured on a 2-core virtual machine with Linux 6.18: 0.12 ms of lens's own thread each second, 0.4 ms more every tenth
/// second for a process of 50 threads; about 1 ms for a state. It keeps [`CPU_WINDOW`] of samples, 30 KiB.
#[derive(Debug)]
pub struct OsSkill {
    /// Only lens's thread for this skill takes it, so nobody waits.
    live: Mutex<platform::Live>,
}

impl Default for OsSkill {
    fn default() -> Self {
        Self::new()
    }
}

impl OsSkill {
    /// The skill, without history yet.
    #[must_use]
    pub fn new() -> Self {
        Self { live: Mutex::new(platform::Live::new()) }
    }

    fn live(&self) -> MutexGuard<'_, platform::Live> {
        // What it holds is history; one that a panic left half written is at worst a sample short.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Skill for OsSkill {
    type State = State;

    fn about(&self) -> About {
        About::new(
            "os",
            "Operating system",
            "Processors, memory, disks, cgroup limits, pressure, and this process's use of them.",
        )
        .prompt(PROMPT)
    }

    fn collect(&self) -> Reading<State> {
        self.live().collect()
    }

    fn functions(to: Functions<State>) -> Functions<State> {
        functions::add(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        self.live().metrics(out);
    }

    fn sources(&self) -> Vec<Source> {
        self.live().sources()
    }

    fn stores(&self) -> Vec<Store> {
        self.live().stores()
    }

    fn checks() -> &'static [Check] {
        const {
            &[
                Check::new("cpu_throttled", include_str!("os/checks/cpu_throttled.star")),
                Check::new("fd_leak", include_str!("os/checks/fd_leak.star")),
                Check::new("memory_limit", include_str!("os/checks/memory_limit.star")),
            ]
        }
    }
}

#[cfg(test)]
mod tests;
