//! Processor time: of the machine, of its cores and of this process, over a window. Separate because it is the one part
//! of `os` that needs history: ratios come from two samples, never from totals since boot.

use std::collections::VecDeque;
use std::time::Duration;

use lens_core::numbers::total;
use lens_core::time::millis;
use lens_core::{CallError, OrUnavailable, Reading, Span, Unavailable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroup, Throttling};

/// For how long samples are kept, one a second.
pub const CPU_WINDOW: Duration = Duration::from_secs(300);

/// Clock ticks that a processor, or all of them, spent in each way since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticks {
    /// User code, niced and virtual machines' included.
    pub user: u64,
    /// The kernel, for processes.
    pub system: u64,
    /// Interrupts, hard and soft.
    pub irq: u64,
    /// Idle while a disk was busy.
    pub iowait: u64,
    /// Taken by the hypervisor for somebody else.
    pub steal: u64,
    /// Idle.
    pub idle: u64,
}

impl Ticks {
    /// Reads a line `cpu…` of `/proc/stat`. Counts that an old kernel lacks are zero, as it does not account them.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_ascii_whitespace().skip(1).map(|number| number.parse::<u64>().ok());
        // `user nice system idle` have been there always; guest time, which follows steal, is in user and nice already.
        let (user, nice) = (numbers.next()??, numbers.next()??);
        let (system, idle) = (numbers.next()??, numbers.next()??);
        let mut newer = || numbers.next().flatten().unwrap_or(0);
        let (iowait, irq, softirq, steal) = (newer(), newer(), newer(), newer());
        Some(Self { user: user + nice, system, irq: irq + softirq, iowait, steal, idle })
    }

    /// The ticks since `earlier`. Idle and iowait can run backwards for a tick (proc(5)); that reads as none.
    fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            irq: self.irq.saturating_sub(earlier.irq),
            iowait: self.iowait.saturating_sub(earlier.iowait),
            steal: self.steal.saturating_sub(earlier.steal),
            idle: self.idle.saturating_sub(earlier.idle),
        }
    }

    fn total(self) -> u64 {
        total([self.user, self.system, self.irq, self.iowait, self.steal, self.idle])
    }
}

/// The shares of a window's ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shares {
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) irq: f64,
    pub(crate) iowait: f64,
    pub(crate) steal: f64,
    pub(crate) idle: f64,
}

impl Shares {
    /// The shares between two samples; `None` while the clock has not ticked between them.
    #[expect(clippy::cast_precision_loss, reason = "ticks of a window of minutes are far below 2^53")]
    pub(crate) fn between(earlier: Ticks, later: Ticks) -> Option<Self> {
        let ticks = later.since(earlier);
        let total = ticks.total();
        let share = |part: u64| part as f64 / total as f64;
        (total > 0).then(|| Self {
            user: share(ticks.user),
            system: share(ticks.system),
            irq: share(ticks.irq),
            iowait: share(ticks.iowait),
            steal: share(ticks.steal),
            idle: share(ticks.idle),
        })
    }

    /// What is neither idle nor waiting.
    pub(crate) fn busy(&self) -> f64 {
        self.user + self.system + self.irq + self.steal
    }
}

/// What was counted up to one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSample {
    /// Microseconds since lens started, on a clock that never jumps.
    pub at_us: u64,
    /// All processors of the machine.
    pub machine: Ticks,
    /// Processor time of this process, in microseconds.
    pub process_us: u64,
    /// What the cgroups with a quota had to wait for, if there are any.
    pub throttling: Option<Throttling>,
}

/// What `os.cpu` needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Processors of the machine that are online.
    pub online_count: Reading<u32>,
    /// Processors that this process may run on.
    pub allowed_count: Reading<u32>,
    /// Oldest first; the last one is of the instant of the capture.
    pub samples: Vec<CpuSample>,
}

/// The samples of the last [`CPU_WINDOW`].
#[derive(Debug)]
pub(crate) struct CpuRing(VecDeque<CpuSample>);

impl CpuRing {
    pub(crate) const CAP: usize = 301;

    pub(crate) fn new() -> Self {
        Self(VecDeque::with_capacity(Self::CAP))
    }

    pub(crate) fn push(&mut self, sample: CpuSample) {
        if self.0.len() == Self::CAP {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    pub(crate) fn last(&self) -> Option<&CpuSample> {
        self.0.back()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<CpuSample>()
    }

    /// The samples with `now` as the last one.
    pub(crate) fn until(&self, now: CpuSample) -> Vec<CpuSample> {
        self.0.iter().copied().chain([now]).collect()
    }
}

/// The arguments of `os.cpu`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CpuWindow {
    /// The window, up to 5 minutes. For more use `series("os.cpu_ratio", last="1h")`.
    pub last: Span,
}

impl Default for CpuWindow {
    fn default() -> Self {
        Self { last: Span::seconds(10) }
    }
}

/// Where processor time went in a window.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CpuRow {
    /// The window that the numbers are of: as long as asked, or since lens started if that is shorter.
    pub window_ms: f64,
    /// Processors of the machine that are online.
    pub cpu_count: OrUnavailable<u32>,
    /// Processors that this process may run on (affinity, cpuset).
    pub allowed_cpu_count: OrUnavailable<u32>,
    /// How many processors' worth of time the tightest cgroup allows this process; null without a limit.
    pub quota_cores: OrUnavailable<Option<f64>>,
    /// How many processors' worth of time this process can get: the lesser of the two limits above.
    pub usable_cores: OrUnavailable<f64>,
    /// The machine's time in user code, of all processors' time.
    pub user_ratio: f64,
    /// The machine's time in the kernel for processes.
    pub system_ratio: f64,
    /// The machine's time in interrupts, hard and soft.
    pub irq_ratio: f64,
    /// The machine's idle time while a disk was busy. A hint only: the kernel attributes it to whatever processor slept.
    pub iowait_ratio: f64,
    /// Time that the hypervisor gave to somebody else while this machine wanted it.
    pub steal_ratio: f64,
    /// The machine's idle time. This and the five above add up to 1.
    pub idle_ratio: f64,
    /// What is neither idle nor iowait.
    pub busy_ratio: f64,
    /// Processors' worth of time that this process used: 1.0 is one processor all the time.
    pub process_cores: f64,
    /// The same, of `usable_cores`.
    pub process_ratio: OrUnavailable<f64>,
    /// Time for which threads of the process's cgroups were kept from running because a quota was used up, summed over
    /// the processors that it was kept from.
    pub throttled_ms: OrUnavailable<f64>,
    /// Enforcement periods (mostly 100 ms) in which that happened, of all periods in which something ran.
    pub throttled_ratio: OrUnavailable<f64>,
}

impl Cpu {
    pub(super) fn over(&self, window: CpuWindow, cgroup: &Reading<Cgroup>) -> Result<CpuRow, CallError> {
        let last = window.last.0;
        if last.is_zero() || last > CPU_WINDOW {
            return Err(CallError::argument(
                "last",
                format!(
                    "`last` takes a length of up to 5m, not \"{}\"; `os.cpu_ratio` has a longer series",
                    window.last
                ),
            ));
        }
        let not_yet = || CallError::Unavailable {
            subject: "`os.cpu`".to_owned(),
            reason: Unavailable::NotYet { until: "lens has run for a second or two".into() },
        };
        let (earlier, later) = self.window(last).ok_or_else(not_yet)?;
        let shares = Shares::between(earlier.machine, later.machine).ok_or_else(not_yet)?;
        let quota = cgroup.as_ref().map_err(Clone::clone).map(Cgroup::quota_cores);
        let usable = Self::usable(self.allowed_count.clone(), &quota);
        let window_us = later.at_us - earlier.at_us;
        let process_cores = ratio(later.process_us.saturating_sub(earlier.process_us), window_us);
        let throttling = throttled(&earlier, &later, cgroup);
        Ok(CpuRow {
            window_ms: millis(Duration::from_micros(window_us)),
            cpu_count: self.online_count.clone().into(),
            allowed_cpu_count: self.allowed_count.clone().into(),
            quota_cores: quota.into(),
            process_ratio: usable.clone().map(|cores| process_cores / cores).into(),
            usable_cores: usable.into(),
            user_ratio: shares.user,
            system_ratio: shares.system,
            irq_ratio: shares.irq,
            iowait_ratio: shares.iowait,
            steal_ratio: shares.steal,
            idle_ratio: shares.idle,
            busy_ratio: shares.busy(),
            process_cores,
            throttled_ms: throttling.clone().map(|by| millis(Duration::from_micros(by.throttled_us))).into(),
            throttled_ratio: throttling
                .map(|by| if by.nr_periods == 0 { 0.0 } else { ratio(by.nr_throttled, by.nr_periods).min(1.0) })
                .into(),
        })
    }

    /// The last sample and the youngest one that is at least `last` older, or else the oldest.
    fn window(&self, last: Duration) -> Option<(CpuSample, CpuSample)> {
        let (later, before) = self.samples.split_last()?;
        // A second's samples are not taken to the microsecond; one that is a little too young is meant.
        let tolerated = last.as_micros().saturating_sub(200_000);
        let reaches = |sample: &&CpuSample| u128::from(later.at_us.saturating_sub(sample.at_us)) >= tolerated;
        let earlier = before.iter().rev().find(reaches).or_else(|| before.first())?;
        (later.at_us > earlier.at_us).then_some((*earlier, *later))
    }

    /// How many processors' worth of time the process can get. A quota that cannot be read is not taken for none.
    pub(super) fn usable(allowed_count: Reading<u32>, quota: &Reading<Option<f64>>) -> Reading<f64> {
        let allowed = f64::from(allowed_count?);
        Ok(match quota {
            Ok(Some(quota)) => quota.min(allowed),
            Ok(None) => allowed,
            Err(reason) => return Err(reason.clone()),
        })
    }
}

/// What a window added to the throttling counts.
fn throttled(earlier: &CpuSample, later: &CpuSample, cgroup: &Reading<Cgroup>) -> Reading<Throttling> {
    match (earlier.throttling, later.throttling) {
        (Some(earlier), Some(later)) => Ok(later.since(earlier)),
        _ => match cgroup {
            Err(reason) => Err(reason.clone()),
            Ok(cgroup) => match cgroup.quota_cores() {
                // Without a quota nothing is throttled.
                None => Ok(Throttling::default()),
                Some(_) => Err(Unavailable::NotYet { until: "the quota has been watched for a second".into() }),
            },
        },
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a window of minutes are far below 2^53")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
