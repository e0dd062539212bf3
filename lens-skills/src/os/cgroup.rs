//! Control groups: what they allow this process, and how near it is. Separate because limits nest: every group between
//! the process and the root can have one, and the tightest counts.
//!
//! Groups above the mount point, which a container cannot see, are left out: a limit there is invisible from within.

use std::time::Duration;

use lens_core::time::millis;
use lens_core::{OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cpu::ratio;
use super::pressure::Pressure;

/// The groups of this process that are in sight. Each list starts with the process's own group and goes up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Where the groups are controlled.
    pub version: Version,
    /// The process's own group.
    pub path: String,
    /// Levels with the controller `cpu`.
    pub cpu: Vec<CpuLevel>,
    /// Levels with the controller `memory`.
    pub memory: Vec<MemoryLevel>,
    /// Levels with the controller `pids`.
    pub pids: Vec<PidsLevel>,
    /// Pressure of the process's own group.
    pub pressure: Reading<Pressure>,
}

/// The kernel's two interfaces to control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// One hierarchy for all controllers.
    V2,
    /// A hierarchy for each controller.
    V1,
}

/// What one group says of processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLevel {
    /// The group.
    pub path: String,
    /// Processor time per period, if there is a limit.
    pub quota_us: Option<u64>,
    /// The period of the quota.
    pub period_us: Option<u64>,
    /// What the quota did so far.
    pub throttling: Option<Throttling>,
}

/// What a quota did since the group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Enforcement periods in which something ran.
    pub nr_periods: u64,
    /// Periods in which the quota was used up.
    pub nr_throttled: u64,
    /// Time for which something was kept from running.
    pub throttled_us: u64,
}

/// What one group says of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLevel {
    /// The group.
    pub path: String,
    /// Above this the kernel kills.
    pub max_bytes: Option<u64>,
    /// Above this the kernel slows allocations down and reclaims.
    pub high_bytes: Option<u64>,
    /// Memory charged to the group, the page cache included.
    pub current_bytes: Option<u64>,
    /// The part of it that is page cache not used lately, which the kernel drops first.
    pub inactive_file_bytes: Option<u64>,
    /// How often limits were met.
    pub events: Option<MemoryEvents>,
}

/// Counts since the group was made, of the group and those below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEvents {
    /// Allocations that met `high`; the kernel's interface 1 has none.
    pub high: Option<u64>,
    /// Allocations that met `max`.
    pub max: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kill: Option<u64>,
}

/// What one group says of processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidsLevel {
    /// The group.
    pub path: String,
    /// Above this no thread can be started.
    pub max: Option<u64>,
    /// Processes and threads now.
    pub current: Option<u64>,
}

impl Throttling {
    /// What was added since `earlier`; a group that was made anew starts from zero.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            nr_periods: self.nr_periods.saturating_sub(earlier.nr_periods),
            nr_throttled: self.nr_throttled.saturating_sub(earlier.nr_throttled),
            throttled_us: self.throttled_us.saturating_sub(earlier.throttled_us),
        }
    }
}

impl CpuLevel {
    /// The quota in processors' worth of time.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        let (quota, period) = (self.quota_us?, self.period_us?);
        (period > 0).then(|| ratio(quota, period))
    }
}

impl MemoryLevel {
    /// What the kernel cannot drop at once.
    #[must_use]
    pub fn working_set_bytes(&self) -> Option<u64> {
        Some(self.current_bytes?.saturating_sub(self.inactive_file_bytes?))
    }

    /// How full the level is.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let max = self.max_bytes.filter(|max| *max > 0)?;
        Some(ratio(self.working_set_bytes()?, max))
    }
}

impl Cgroup {
    /// The tightest quota in processors' worth of time; `None` if there is no quota in sight.
    #[must_use]
    pub fn quota_cores(&self) -> Option<f64> {
        self.tightest_cpu().and_then(CpuLevel::cores)
    }

    fn tightest_cpu(&self) -> Option<&CpuLevel> {
        let limited = self.cpu.iter().filter_map(|level| Some((level.cores()?, level)));
        limited.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, level)| level)
    }

    /// What all quotas in sight did. Periods are those of the level that counted most of them.
    #[must_use]
    pub fn throttling(&self) -> Option<Throttling> {
        let limited = self.cpu.iter().filter(|level| level.cores().is_some()).filter_map(|level| level.throttling);
        limited.reduce(|one, other| Throttling {
            nr_periods: one.nr_periods.max(other.nr_periods),
            nr_throttled: one.nr_throttled.saturating_add(other.nr_throttled),
            throttled_us: one.throttled_us.saturating_add(other.throttled_us),
        })
    }

    /// The least memory limit in sight.
    #[must_use]
    pub fn memory_limit(&self) -> Option<&MemoryLevel> {
        self.memory.iter().filter(|level| level.max_bytes.is_some()).min_by_key(|level| level.max_bytes)
    }

    /// The level that is nearest to its limit: the one that will be met first.
    #[must_use]
    pub fn fullest_memory(&self) -> Option<&MemoryLevel> {
        let limited = self.memory.iter().filter_map(|level| Some((level.ratio()?, level)));
        limited.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, level)| level)
    }

    fn row(&self) -> CgroupRow {
        let unsaid = |why: &'static str| move || Unavailable::failed(why);
        let without_memory =
            unsaid("the cgroup in sight does not account memory (the controller `memory` is off, or it is the root)");
        let memory = self.memory.first();
        let tightest = self.tightest_cpu();
        let throttling =
            self.throttling().ok_or_else(unsaid("no cgroup in sight has a processor quota, so nothing is throttled"));
        let event = |count: fn(&MemoryEvents) -> Option<u64>, why: &'static str| -> OrUnavailable<u64> {
            memory.and_then(|level| level.events.as_ref()).and_then(count).ok_or_else(unsaid(why)).into()
        };
        let fullest_pids = self.pids.iter().filter(|level| level.max.is_some()).min_by_key(|level| level.max);
        CgroupRow {
            version: self.version,
            path: self.path.clone(),
            quota_cores: tightest.and_then(CpuLevel::cores),
            quota_path: tightest.map(|level| level.path.clone()),
            nr_periods: throttling.clone().map(|by| by.nr_periods).into(),
            nr_throttled: throttling.clone().map(|by| by.nr_throttled).into(),
            throttled_ms: throttling.map(|by| millis(Duration::from_micros(by.throttled_us))).into(),
            memory_limit_bytes: self.memory_limit().and_then(|level| level.max_bytes),
            memory_limit_path: self.memory_limit().map(|level| level.path.clone()),
            memory_high_bytes: self.memory.iter().filter_map(|level| level.high_bytes).min(),
            memory_current_bytes: memory.and_then(|level| level.current_bytes).ok_or_else(without_memory).into(),
            memory_working_set_bytes: memory.and_then(MemoryLevel::working_set_bytes).ok_or_else(without_memory).into(),
            memory_used_ratio: self.fullest_memory().and_then(MemoryLevel::ratio),
            memory_high_total: event(
                |events| events.high,
                "the cgroup counts no `high` events (cgroup v1, or the root)",
            ),
            memory_max_total: event(|events| events.max, "the cgroup counts no `max` events (the root)"),
            oom_kill_total: event(
                |events| events.oom_kill,
                "the cgroup counts no OOM kills (a kernel before 4.13, or the root)",
            ),
            pids_limit: fullest_pids.and_then(|level| level.max),
            pids_count: fullest_pids
                .or(self.pids.first())
                .and_then(|level| level.current)
                .ok_or_else(unsaid(
                    "the cgroup in sight does not count processes (the controller `pids` is off, or it is the root)",
                ))
                .into(),
        }
    }
}

/// What the control groups of this process allow, and how near it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CgroupRow {
    /// The kernel's interface: `v2`, or `v1` if that is what controls the processors and the memory.
    pub version: Version,
    /// The process's own group.
    pub path: String,
    /// The tightest processor quota in sight, in processors' worth of time; null without one.
    pub quota_cores: Option<f64>,
    /// The group that has it.
    pub quota_path: Option<String>,
    /// Enforcement periods in which something ran, since the group was made.
    pub nr_periods: OrUnavailable<u64>,
    /// Periods in which a quota was used up.
    pub nr_throttled: OrUnavailable<u64>,
    /// Time for which something was kept from running; the kernel's throttled_usec.
    pub throttled_ms: OrUnavailable<f64>,
    /// The least memory limit in sight; null without one. Above it the kernel kills.
    pub memory_limit_bytes: Option<u64>,
    /// The group that has it.
    pub memory_limit_path: Option<String>,
    /// The least `memory.high` in sight; null without one. Above it the kernel slows allocations down.
    pub memory_high_bytes: Option<u64>,
    /// Memory charged to the process's own group. Page cache that can be dropped at once is included.
    pub memory_current_bytes: OrUnavailable<u64>,
    /// The same without page cache not used lately: what the limit is met with.
    pub memory_working_set_bytes: OrUnavailable<u64>,
    /// Working set of the limit, for the group in sight that is nearest to its limit; null without a limit.
    pub memory_used_ratio: Option<f64>,
    /// Allocations of the own group that met `memory.high`.
    pub memory_high_total: OrUnavailable<u64>,
    /// Allocations of the own group that met its limit.
    pub memory_max_total: OrUnavailable<u64>,
    /// Processes of the own group killed for want of memory.
    pub oom_kill_total: OrUnavailable<u64>,
    /// The least limit of processes and threads in sight; null without one.
    pub pids_limit: Option<u64>,
    /// Processes and threads in the group that has that limit, or else in the own group.
    pub pids_count: OrUnavailable<u64>,
}

/// One group between the process and the root.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CgroupLevelRow {
    /// The group.
    pub path: String,
    /// Its processor quota in processors' worth of time; null without one.
    pub quota_cores: Option<f64>,
    /// Periods in which its quota was used up; null without a quota.
    pub nr_throttled: Option<u64>,
    /// Time for which its quota kept something from running; null without a quota.
    pub throttled_ms: Option<f64>,
    /// Its memory limit; null without one.
    pub memory_limit_bytes: Option<u64>,
    /// Memory charged to it; null where the kernel does not say (the root).
    pub memory_current_bytes: Option<u64>,
    /// Working set of its limit; null without a limit.
    pub memory_used_ratio: Option<f64>,
    /// Processes in it or below it killed for want of memory; null where the kernel does not say.
    pub oom_kill_total: Option<u64>,
    /// Its limit of processes and threads; null without one.
    pub pids_limit: Option<u64>,
    /// Processes and threads in it; null where the kernel does not say.
    pub pids_count: Option<u64>,
}

pub(super) fn record(cgroup: &Reading<Cgroup>) -> Reading<CgroupRow> {
    cgroup.as_ref().map(Cgroup::row).map_err(Clone::clone)
}

/// One row a group, the process's own first. With interface 1 a group may be in one hierarchy and not in another.
pub(super) fn levels(cgroup: &Reading<Cgroup>) -> Reading<Vec<CgroupLevelRow>> {
    let cgroup = cgroup.as_ref().map_err(Clone::clone)?;
    let mut paths: Vec<&str> = Vec::new();
    let all = cgroup.cpu.iter().map(|level| &level.path);
    let all = all.chain(cgroup.memory.iter().map(|level| &level.path));
    for path in all.chain(cgroup.pids.iter().map(|level| &level.path)) {
        if !paths.contains(&path.as_str()) {
            paths.push(path);
        }
    }
    // Deeper groups first.
    paths.sort_by_key(|path| std::cmp::Reverse(path.split('/').filter(|part| !part.is_empty()).count()));
    let row = |path: &str| {
        let cpu = cgroup.cpu.iter().find(|level| level.path == path);
        let memory = cgroup.memory.iter().find(|level| level.path == path);
        let pids = cgroup.pids.iter().find(|level| level.path == path);
        let quota_cores = cpu.and_then(CpuLevel::cores);
        let throttling = cpu.and_then(|level| level.throttling).filter(|_| quota_cores.is_some());
        CgroupLevelRow {
            path: path.to_owned(),
            quota_cores,
            nr_throttled: throttling.map(|by| by.nr_throttled),
            throttled_ms: throttling.map(|by| millis(Duration::from_micros(by.throttled_us))),
            memory_limit_bytes: memory.and_then(|level| level.max_bytes),
            memory_current_bytes: memory.and_then(|level| level.current_bytes),
            memory_used_ratio: memory.and_then(MemoryLevel::ratio),
            oom_kill_total: memory.and_then(|level| level.events.as_ref()).and_then(|events| events.oom_kill),
            pids_limit: pids.and_then(|level| level.max),
            pids_count: pids.and_then(|level| level.current),
        }
    };
    Ok(paths.into_iter().map(row).collect())
}
