//! A metric's history as a query sees it. Separate from the rings because it is a plain value, cut out once and then
//! asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SeriesReference;
use super::ring::{Bucket, Resolution, Rings};
use crate::error::CallError;
use crate::metric::{MetricKind, Unit};
use crate::reading::Unavailable;
use crate::time::{Span, Timestamp};

/// The points of a metric over a window, and what can be asked of them. There is always at least one point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// `skill.metric` or `skill.metric[label]`.
    pub name: String,
    /// The unit of the points; a counter's are rates, [`Unit::PerSecond`].
    pub unit: Unit,
    /// What the metric is.
    pub kind: MetricKind,
    /// The seconds that one point stands for.
    pub resolution_s: u32,
    /// Oldest first; a second in which nothing was recorded has no point.
    pub points: Vec<Point>,
}

/// One point: an interval of [`Series::resolution_s`] seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When the interval starts.
    pub at: Timestamp,
    /// The mean of the interval's values.
    pub value: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// The last of them.
    pub last: f64,
}

impl Series {
    pub(super) fn cut(
        reference: &SeriesReference,
        rings: &Rings,
        started_at: Timestamp,
        second: u32,
        last: Span,
    ) -> Result<Self, CallError> {
        let seconds = u32::try_from(last.0.as_secs()).unwrap_or(u32::MAX);
        if seconds == 0 {
            return Err(CallError::argument("last", format!("`last` takes a length of at least 1s, not \"{last}\"")));
        }
        let resolution = Resolution::that_reaches(last.0);
        let points = rings.points(resolution, second.saturating_sub(seconds - 1), second);
        if points.is_empty() {
            return Err(CallError::Unavailable {
                subject: format!("the series `{}` over the last {last}", reference.name),
                reason: Unavailable::NotYet { until: "a value has been recorded in that time".into() },
            });
        }
        let point = |(second, bucket): (u32, Bucket)| Point {
            at: started_at.plus(Duration::from_secs(second.into())),
            value: bucket.mean,
            min: bucket.min,
            max: bucket.max,
            last: bucket.last,
        };
        let mut points: Vec<Point> = points.into_iter().map(point).collect();
        // It takes the place of the buckets, which had room for more.
        points.shrink_to_fit();
        Ok(Self {
            name: reference.name.clone(),
            unit: if reference.kind == MetricKind::Counter { Unit::PerSecond } else { reference.unit },
            kind: reference.kind,
            resolution_s: resolution.seconds(),
            points,
        })
    }

    /// The latest value.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.points.last().map_or(f64::NAN, |point| point.last)
    }

    /// The mean of the points.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are at most 1440 points")]
    pub fn mean(&self) -> f64 {
        self.points.iter().map(|point| point.value).sum::<f64>() / self.points.len() as f64
    }

    /// The least value.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.points.iter().map(|point| point.min).fold(f64::INFINITY, f64::min)
    }

    /// The greatest value.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.points.iter().map(|point| point.max).fold(f64::NEG_INFINITY, f64::max)
    }

    /// The value below which a share `q` of the points lies, interpolated between the two nearest. `q` is clamped to
    /// 0..=1.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the rank lies between 0 and the number of points, at most 1440"
    )]
    pub fn quantile(&self, q: f64) -> f64 {
        let mut values: Vec<f64> = self.points.iter().map(|point| point.value).collect();
        values.sort_by(f64::total_cmp);
        let rank = q.clamp(0.0, 1.0) * (values.len().saturating_sub(1)) as f64;
        let below = values.get(rank.floor() as usize).copied().unwrap_or(f64::NAN);
        let above = values.get(rank.ceil() as usize).copied().unwrap_or(below);
        below + (above - below) * rank.fract()
    }

    /// The slope of the straight line nearest to the points (least squares), per second; `None` for a single point.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "there are at most 1440 points within a day of milliseconds")]
    pub fn slope_per_s(&self) -> Option<f64> {
        let first = self.points.first()?.at;
        let count = self.points.len() as f64;
        let seconds = |point: &Point| point.at.since(first).as_secs_f64();
        let mean_s = self.points.iter().map(seconds).sum::<f64>() / count;
        let mean = self.mean();
        let spread: f64 = self.points.iter().map(|point| (seconds(point) - mean_s).powi(2)).sum();
        let joint: f64 = self.points.iter().map(|point| (seconds(point) - mean_s) * (point.value - mean)).sum();
        (spread > 0.0).then(|| joint / spread)
    }
}
