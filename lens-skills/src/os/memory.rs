//! Memory of the machine, and which limit applies to this process. Separate because the answer joins the machine's
//! reading with the control groups'.

use lens_core::{OrUnavailable, Reading, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroup, MemoryLevel};
use super::cpu::ratio;

/// The machine's memory, out of `/proc/meminfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// `MemTotal`.
    pub total_bytes: u64,
    /// `MemFree`.
    pub free_bytes: u64,
    /// `MemAvailable`; kernels before 3.14 have none.
    pub available_bytes: Option<u64>,
    /// `Buffers`.
    pub buffers_bytes: u64,
    /// `Cached`.
    pub cached_bytes: u64,
    /// `Shmem`: shared memory and tmpfs, which are in `Cached` but cannot be dropped.
    pub shared_bytes: Option<u64>,
    /// `Dirty`.
    pub dirty_bytes: u64,
    /// `SwapTotal`.
    pub swap_total_bytes: u64,
    /// `SwapFree`.
    pub swap_free_bytes: u64,
}

/// Which limit this process meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The machine's memory.
    Machine,
    /// The limit of a control group.
    Cgroup,
}

/// Memory of the machine and of the limit that applies.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MemoryRow {
    /// Memory that the machine has.
    pub total_bytes: u64,
    /// What the kernel estimates that can be had without swapping. The number to watch, not `free_bytes`.
    pub available_bytes: OrUnavailable<u64>,
    /// The total without what is available.
    pub used_bytes: OrUnavailable<u64>,
    /// Used of the total.
    pub used_ratio: OrUnavailable<f64>,
    /// Memory that holds nothing. Low on a healthy machine: the page cache takes what nobody uses.
    pub free_bytes: u64,
    /// Buffers of block devices.
    pub buffers_bytes: u64,
    /// Page cache, shared memory included.
    pub cached_bytes: u64,
    /// Shared memory and tmpfs.
    pub shared_bytes: Option<u64>,
    /// Page cache that waits to be written to a disk.
    pub dirty_bytes: u64,
    /// Swap space.
    pub swap_total_bytes: u64,
    /// Swap space that is used.
    pub swap_used_bytes: u64,
    /// The limit that applies to this process: the least of the cgroups' in sight and the machine's total.
    pub limit_bytes: OrUnavailable<u64>,
    /// Whose limit that is.
    pub limited_by: OrUnavailable<LimitedBy>,
    /// How full it is: for a cgroup its working set (what the kernel cannot drop at once) of its limit, taken of the
    /// group that is nearest to its limit.
    pub limit_used_ratio: OrUnavailable<f64>,
}

impl Memory {
    /// Used of the total.
    pub(super) fn used_ratio(&self) -> Reading<f64> {
        let available = self.available_bytes.ok_or_else(no_estimate)?;
        Ok(ratio(self.total_bytes.saturating_sub(available), self.total_bytes.max(1)))
    }

    /// The limit that applies, and how full it is.
    pub(super) fn limit(&self, cgroup: &Reading<Cgroup>) -> Reading<(u64, LimitedBy, Reading<f64>)> {
        let cgroup = cgroup.as_ref().map_err(Clone::clone)?;
        match cgroup.memory_limit().and_then(|level| level.max_bytes).filter(|max| *max < self.total_bytes) {
            None => Ok((self.total_bytes, LimitedBy::Machine, self.used_ratio())),
            Some(max) => {
                let used = cgroup.fullest_memory().and_then(MemoryLevel::ratio);
                let unsaid = || Unavailable::failed("the cgroup does not tell how much memory it uses");
                Ok((max, LimitedBy::Cgroup, used.ok_or_else(unsaid)))
            }
        }
    }

    pub(super) fn row(&self, cgroup: &Reading<Cgroup>) -> MemoryRow {
        let available = self.available_bytes.ok_or_else(no_estimate);
        let limit = self.limit(cgroup);
        MemoryRow {
            total_bytes: self.total_bytes,
            used_bytes: available.clone().map(|available| self.total_bytes.saturating_sub(available)).into(),
            available_bytes: available.into(),
            used_ratio: self.used_ratio().into(),
            free_bytes: self.free_bytes,
            buffers_bytes: self.buffers_bytes,
            cached_bytes: self.cached_bytes,
            shared_bytes: self.shared_bytes,
            dirty_bytes: self.dirty_bytes,
            swap_total_bytes: self.swap_total_bytes,
            swap_used_bytes: self.swap_total_bytes.saturating_sub(self.swap_free_bytes),
            limit_bytes: limit.clone().map(|(limit, ..)| limit).into(),
            limited_by: limit.clone().map(|(_, by, _)| by).into(),
            limit_used_ratio: limit.and_then(|(.., used)| used).into(),
        }
    }
}

fn no_estimate() -> Unavailable {
    Unavailable::UnsupportedPlatform { needs: "Linux 3.14, whose /proc/meminfo has MemAvailable".into() }
}
