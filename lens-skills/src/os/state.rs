//! What `os` reads when it is collected. Separate because it is what a capture's file holds.

use lens_core::Reading;
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::cpu::Cpu;
use super::disks::Disks;
use super::load::Load;
use super::memory::Memory;
use super::pressure::Pressure;
use super::process::{Limit, Process};
use super::threads::Threads;

/// The operating system at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Processors, with the samples of the last minutes.
    pub cpu: Reading<Cpu>,
    /// Load averages.
    pub load: Reading<Load>,
    /// The machine's memory.
    pub memory: Reading<Memory>,
    /// File systems.
    pub disks: Reading<Disks>,
    /// Control groups.
    pub cgroup: Reading<Cgroup>,
    /// The machine's pressure.
    pub pressure: Reading<Pressure>,
    /// This process.
    pub process: Process,
    /// Its threads.
    pub threads: Reading<Threads>,
    /// Its limits.
    pub limits: Vec<Limit>,
}
