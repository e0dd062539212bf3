//! The rings of one series. Separate because the arithmetic of intervals is all here: a point's place follows from its
//! second alone, so a second that was never recorded is a gap and nothing shifts.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The three resolutions in which a series is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// 1 s, for 10 minutes.
    Second,
    /// 10 s, for 2 hours.
    TenSeconds,
    /// 60 s, for 24 hours.
    Minute,
}

impl Resolution {
    /// From the finest to the coarsest.
    pub const ALL: [Self; 3] = [Self::Second, Self::TenSeconds, Self::Minute];

    /// The seconds that one point stands for.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::TenSeconds => 10,
            Self::Minute => 60,
        }
    }

    /// How many points are kept.
    #[must_use]
    pub const fn capacity(self) -> u32 {
        match self {
            Self::Second => 600,
            Self::TenSeconds => 720,
            Self::Minute => 1440,
        }
    }

    /// How far back it reaches.
    #[must_use]
    pub const fn reach(self) -> Duration {
        Duration::from_secs(self.seconds() as u64 * self.capacity() as u64)
    }

    /// The finest resolution that reaches back `last`; the coarsest for anything longer.
    #[must_use]
    pub fn that_reaches(last: Duration) -> Self {
        Self::ALL.into_iter().find(|resolution| resolution.reach() >= last).unwrap_or(Self::Minute)
    }
}

/// What is kept of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
    pub(crate) last: f64,
}

/// All that is kept of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rings {
    seconds: VecDeque<(u32, f64)>,
    tens: Coarse,
    minutes: Coarse,
}

/// A ring of closed intervals, and the one that is still open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Coarse {
    /// The interval's number and its min, max, mean and last.
    closed: VecDeque<(u32, [f32; 4])>,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Open {
    interval: u32,
    min: f64,
    max: f64,
    sum: f64,
    last: f64,
    count: u32,
}

impl Rings {
    /// Stores the value of a second, which must be later than the last one; an earlier or doubled one is left out.
    pub(crate) fn push(&mut self, second: u32, value: f64) {
        if self.seconds.back().is_some_and(|&(last, _)| last >= second) {
            return;
        }
        let oldest = (second + 1).saturating_sub(Resolution::Second.capacity());
        while self.seconds.front().is_some_and(|&(at, _)| at < oldest) {
            self.seconds.pop_front();
        }
        self.seconds.push_back((second, value));
        self.tens.push(Resolution::TenSeconds, second, value);
        self.minutes.push(Resolution::Minute, second, value);
    }

    /// The points of `resolution` whose interval has a second between `from` and `to`, both included, oldest first: the
    /// first second of each, and its values.
    pub(crate) fn points(&self, resolution: Resolution, from: u32, to: u32) -> Vec<(u32, Bucket)> {
        let coarse = match resolution {
            Resolution::Second => {
                let within = self.seconds.iter().filter(|&&(second, _)| second >= from && second <= to);
                return within
                    .map(|&(second, value)| (second, Bucket { min: value, max: value, mean: value, last: value }))
                    .collect();
            }
            Resolution::TenSeconds => &self.tens,
            Resolution::Minute => &self.minutes,
        };
        let length = resolution.seconds();
        let closed = coarse.closed.iter().map(|&(interval, [min, max, mean, last])| {
            (
                interval.saturating_mul(length),
                Bucket { min: min.into(), max: max.into(), mean: mean.into(), last: last.into() },
            )
        });
        let open = coarse.open.iter().map(|open| (open.interval.saturating_mul(length), open.bucket()));
        closed.chain(open).filter(|&(start, _)| start.saturating_add(length) > from && start <= to).collect()
    }

    /// Bytes that the rings take, beside this struct itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.seconds.capacity() * size_of::<(u32, f64)>()
            + (self.tens.closed.capacity() + self.minutes.closed.capacity()) * size_of::<(u32, [f32; 4])>()
    }
}

impl Coarse {
    fn push(&mut self, resolution: Resolution, second: u32, value: f64) {
        let interval = second / resolution.seconds();
        match &mut self.open {
            Some(open) if open.interval == interval => open.add(value),
            open => {
                let finished =
                    open.replace(Open { interval, min: value, max: value, sum: value, last: value, count: 1 });
                if let Some(finished) = finished {
                    self.close(resolution, finished);
                }
            }
        }
        let oldest = (interval + 1).saturating_sub(resolution.capacity());
        while self.closed.front().is_some_and(|&(at, _)| at < oldest) {
            self.closed.pop_front();
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "coarse points keep seven digits, as the module says")]
    fn close(&mut self, resolution: Resolution, finished: Open) {
        let Bucket { min, max, mean, last } = finished.bucket();
        if self.closed.len() as u64 >= u64::from(resolution.capacity()) {
            self.closed.pop_front();
        }
        self.closed.push_back((finished.interval, [min as f32, max as f32, mean as f32, last as f32]));
    }
}

impl Open {
    fn add(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        self.last = value;
        self.count += 1;
    }

    fn bucket(&self) -> Bucket {
        Bucket { min: self.min, max: self.max, mean: self.sum / f64::from(self.count), last: self.last }
    }
}
