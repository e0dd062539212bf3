//! Pressure stall information: the share of time in which something could not go on for want of a resource. Separate
//! because the machine and a control group have the same files.

use lens_core::Reading;
use lens_core::time::millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The three resources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Waits for a processor.
    pub cpu: Stalls,
    /// Waits for memory: reclaim, swap, refaults of pages that were dropped.
    pub memory: Stalls,
    /// Waits for disks.
    pub io: Stalls,
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stalls {
    /// At least one task waited.
    pub some: Stalled,
    /// All tasks that were not idle waited; kernels before 5.13 don't say it of processors.
    pub full: Option<Stalled>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stalled {
    /// Percentage of the last 10 s.
    pub avg10: f64,
    /// Percentage of the last minute.
    pub avg60: f64,
    /// Percentage of the last 5 minutes.
    pub avg300: f64,
    /// Microseconds since boot, or since the group was made.
    pub total_us: u64,
}

impl Stalls {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let line = |kind: &str| text.lines().find_map(|line| Stalled::parse(line.strip_prefix(kind)?));
        Some(Self { some: line("some ")?, full: line("full ") })
    }
}

impl Stalled {
    fn parse(line: &str) -> Option<Self> {
        let field =
            |name: &str| line.split_ascii_whitespace().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let average = |name| field(name)?.parse::<f64>().ok().filter(|average| average.is_finite());
        Some(Self {
            avg10: average("avg10")?,
            avg60: average("avg60")?,
            avg300: average("avg300")?,
            total_us: field("total")?.parse().ok()?,
        })
    }
}

/// Whose pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All tasks of the machine.
    Machine,
    /// The tasks of this process's control group.
    Cgroup,
}

/// The arguments of `os.pressure`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PressureOf {
    /// Whose pressure: the machine's, or that of this process's control group.
    pub scope: Scope,
}

impl Default for PressureOf {
    fn default() -> Self {
        Self { scope: Scope::Machine }
    }
}

/// Time in which tasks could not go on for want of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PressureRow {
    /// What was waited for: `cpu`, `memory` or `io`.
    pub resource: String,
    /// `some`: at least one task waited; `full`: all that were not idle did, so nothing went on.
    pub kind: String,
    /// Share of the last 10 s.
    pub avg10_ratio: f64,
    /// Share of the last minute.
    pub avg60_ratio: f64,
    /// Share of the last 5 minutes.
    pub avg300_ratio: f64,
    /// Time since boot, or since the group was made.
    pub stalled_ms: f64,
}

/// What `os.pressure` answers.
pub(super) fn rows(pressure: &Reading<Pressure>) -> Reading<Vec<PressureRow>> {
    let pressure = pressure.as_ref().map_err(Clone::clone)?;
    let resources = [("cpu", pressure.cpu), ("memory", pressure.memory), ("io", pressure.io)];
    let kinds = resources.into_iter().flat_map(|(resource, stalls)| {
        let full = stalls.full.map(|full| (resource, "full", full));
        [(resource, "some", stalls.some)].into_iter().chain(full)
    });
    let row = |(resource, kind, stalled): (&str, &str, Stalled)| PressureRow {
        resource: resource.to_owned(),
        kind: kind.to_owned(),
        avg10_ratio: share(stalled.avg10),
        avg60_ratio: share(stalled.avg60),
        avg300_ratio: share(stalled.avg300),
        stalled_ms: millis(Duration::from_micros(stalled.total_us)),
    };
    Ok(kinds.map(row).collect())
}

/// A percentage of two decimals as a share of four.
fn share(percentage: f64) -> f64 {
    (percentage * 100.0).round() / 10_000.0
}
