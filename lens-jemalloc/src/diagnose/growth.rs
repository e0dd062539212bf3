//! Whether a series of bytes grows without end. Separate because it looks at the past only, and is told by numbers alone.

use std::time::Duration;

use lens_core::recorder::Point;

/// How long a series must be before growth is judged. Shorter takes a service that warms up for one that leaks.
pub const MIN_GROWTH_WINDOW: Duration = Duration::from_secs(60);

/// The windows whose least values are compared. Least values, because garbage comes and goes but what leaks stays.
const WINDOWS: usize = 4;

/// What a series does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Growth {
    /// It does not reach far enough back.
    TooShort,
    /// It goes up and down, or stands still.
    Bounded,
    /// It grows, ever slower: something fills up.
    Slowing,
    /// It grows.
    Steady(Steady),
}

/// Growth without end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Steady {
    /// By how much, from the first to the last point.
    pub(crate) bytes: u64,
    /// In how many seconds.
    pub(crate) seconds: f64,
}

/// What the points do.
pub(crate) fn judge(points: &[Point]) -> Growth {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Growth::TooShort };
    let elapsed = last.at.since(first.at);
    if elapsed < MIN_GROWTH_WINDOW || points.len() < WINDOWS * 2 {
        return Growth::TooShort;
    }
    // Windows of equal time, for seconds may be missing.
    let mut floors = [f64::INFINITY; WINDOWS];
    for point in points {
        let share = point.at.since(first.at).as_secs_f64() / elapsed.as_secs_f64();
        floors[window(share)] = floors[window(share)].min(point.min);
    }
    let rises: Vec<f64> = floors.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if rises.iter().any(|&rise| !(rise.is_finite() && rise > 0.0)) {
        return Growth::Bounded;
    }
    let mean = rises.iter().sum::<f64>() / 3.0;
    if rises.last().is_none_or(|&last| last < mean / 4.0) {
        return Growth::Slowing;
    }
    Growth::Steady(Steady { bytes: bytes(last.last - first.value), seconds: elapsed.as_secs_f64() })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share between 0 and 1 times 4")]
fn window(share: f64) -> usize {
    ((share * 4.0) as usize).min(WINDOWS - 1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a conversion of floats saturates")]
fn bytes(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use lens_core::Timestamp;

    use super::*;

    fn points(seconds: u64, value: impl Fn(f64) -> f64) -> Vec<Point> {
        let at = |second| Timestamp::from_unix_millis(1_700_000_000_000 + second * 1000);
        let point = |second: u64| {
            let value = value(f64::from(u32::try_from(second).unwrap()));
            Point { at: at(second), value, min: value, max: value, last: value }
        };
        (0..=seconds).map(point).collect()
    }

    #[test]
    fn growth_of_the_least_values_is_growth() {
        let sawtooth = points(100, |second| 1e6 * second + 3e7 * (second % 10.0));
        assert_eq!(judge(&sawtooth), Growth::Steady(Steady { bytes: 100_000_000, seconds: 100.0 }));
    }

    #[test]
    fn coming_and_going_is_none() {
        assert_eq!(judge(&points(100, |second| 1e8 + 3e7 * (second % 10.0))), Growth::Bounded);
        assert_eq!(judge(&points(100, |_| 5.0)), Growth::Bounded);
        assert_eq!(judge(&points(100, |second| 1e9 - second)), Growth::Bounded);
    }

    #[test]
    fn what_fills_up_is_told_from_what_grows() {
        assert_eq!(judge(&points(100, |second| 1e8 * (1.0 - (-second / 20.0).exp()))), Growth::Slowing);
    }

    #[test]
    fn a_minute_is_needed() {
        assert_eq!(judge(&points(59, |second| second * 1e9)), Growth::TooShort);
        assert_eq!(judge(&[]), Growth::TooShort);
    }
}
