//! The load averages. Separate because they count what wants to run or waits for a disk, in the whole machine, and are
//! often taken for something else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `/proc/loadavg`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Tasks of the machine that ran, wanted to run or waited for a disk, averaged over a minute with exponential decay.
    pub load1: f64,
    /// The same over 5 minutes.
    pub load5: f64,
    /// The same over 15 minutes.
    pub load15: f64,
    /// Threads of the machine that run or are ready to, now.
    pub runnable_count: u64,
    /// Threads of the machine.
    pub thread_count: u64,
}

impl Load {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut average = || words.next()?.parse::<f64>().ok();
        let (load1, load5, load15) = (average()?, average()?, average()?);
        let (runnable, threads) = words.next()?.split_once('/')?;
        Some(Self { load1, load5, load15, runnable_count: runnable.parse().ok()?, thread_count: threads.parse().ok()? })
    }
}
