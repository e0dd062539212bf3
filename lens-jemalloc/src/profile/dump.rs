//! jemalloc's own text of a profile, read. Separate because it is a format of jemalloc's: addresses and samples, no names.
//!
//! The format is `heap_v2`, written by `prof_data.c`: a line `heap_v2/PERIOD`, the totals, then for each stack a line
//! `@ 0xADDRESS …` (innermost first), its sums in `t*: OBJECTS: BYTES [OBJECTS: BYTES]` (alive, and ever allocated) and the
//! same by thread, and at last the process's mappings.

use std::ops::Add;

use lens_core::Unavailable;
use serde::{Deserialize, Serialize};

/// Bytes, and the allocations that they are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Use {
    /// Bytes, as they were asked for or rounded up.
    pub bytes: u64,
    /// Allocations.
    pub count: u64,
}

impl Add for Use {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), count: self.count.saturating_add(other.count) }
    }
}

/// A profile of addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dump {
    /// One sample is taken in this many bytes, on average.
    pub(super) sample_bytes: u64,
    pub(super) stacks: Vec<DumpedStack>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DumpedStack {
    /// Return addresses, innermost first.
    pub(super) addresses: Box<[u64]>,
    /// How many samples are alive.
    pub(super) sample_count: u64,
    pub(super) live: Use,
    /// 0 unless jemalloc counts what was freed, too.
    pub(super) total: Use,
}

impl Dump {
    pub(super) fn parse(text: &str) -> Result<Self, Unavailable> {
        let wrong = |what: &str, line: &str| Unavailable::failed(format!("jemalloc's profile has {what}: {line:?}"));
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let sample_bytes = first
            .strip_prefix("heap_v2/")
            .and_then(|period| period.parse().ok())
            .ok_or_else(|| wrong("no `heap_v2` in its first line", first))?;
        let mut dump = Self { sample_bytes, stacks: Vec::new() };
        let mut addresses: Option<Box<[u64]>> = None;
        for line in lines.map(str::trim_start) {
            if let Some(list) = line.strip_prefix('@') {
                let parsed: Option<Box<[u64]>> = list
                    .split_whitespace()
                    .map(|address| u64::from_str_radix(address.trim_start_matches("0x"), 16).ok())
                    .collect();
                addresses = Some(parsed.ok_or_else(|| wrong("a stack without addresses", line))?);
            } else if let Some(sums) = line.strip_prefix("t*:") {
                // The first ones are the whole profile's.
                let Some(addresses) = addresses.take() else { continue };
                let (live, total) = counts(sums).ok_or_else(|| wrong("sums that are none", line))?;
                dump.stacks.push(DumpedStack {
                    addresses,
                    sample_count: live.count,
                    live: estimate(live, sample_bytes),
                    total: estimate(total, sample_bytes),
                });
            } else if line.starts_with("MAPPED_LIBRARIES") {
                break;
            }
        }
        Ok(dump)
    }
}

/// ` 12: 6291456 [0: 0]`
fn counts(sums: &str) -> Option<(Use, Use)> {
    let (live, total) = sums.trim().strip_suffix(']')?.split_once('[')?;
    let pair = |text: &str| {
        let (count, bytes) = text.split_once(':')?;
        Some(Use { count: count.trim().parse().ok()?, bytes: bytes.trim().parse().ok()? })
    };
    Some((pair(live)?, pair(total)?))
}

/// What `sampled` stands for: an allocation of `size` bytes is sampled with the probability `1 - exp(-size / period)`.
/// jemalloc writes its figures so that this gives the right ones, whatever the sizes behind one stack.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, which saturates"
)]
fn estimate(sampled: Use, period: u64) -> Use {
    if sampled.count == 0 || period == 0 {
        return sampled;
    }
    let size = sampled.bytes as f64 / sampled.count as f64;
    let stands_for = 1.0 / -(-size / period as f64).exp_m1();
    let scale = |number: u64| (number as f64 * stands_for).round() as u64;
    Use { bytes: scale(sampled.bytes), count: scale(sampled.count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "heap_v2/524288
  t*: 13: 6291556 [20: 9000000]
  t3: 13: 6291556 [20: 9000000]
@ 0x55d0c0de 0x7f00 0x1
  t*: 12: 6291456 [19: 8999900]
  t3: 12: 6291456 [19: 8999900]
@ 0x55d0beef
  t*: 1: 100 [1: 100]
  t3: 1: 100 [1: 100]

MAPPED_LIBRARIES:
55d0c0000000-55d0d0000000 r-xp 00000000 fe:00 1 /bin/orders
";

    #[test]
    fn stacks_are_read_and_scaled_to_what_they_stand_for() {
        let dump = Dump::parse(TEXT).unwrap();
        assert_eq!(dump.sample_bytes, 524_288);
        let [large, small] = &dump.stacks[..] else { panic!("{dump:?}") };
        assert_eq!(*large.addresses, [0x55d0_c0de, 0x7f00, 0x1]);
        // 524288 bytes each, of which 1 - 1/e are sampled: a sample stands for 1.582.
        assert_eq!((large.sample_count, large.live), (12, Use { count: 19, bytes: 9952937 }));
        assert!(large.total.count > large.live.count);
        // One of 100 bytes in 524288 bytes.
        assert!(small.live.bytes.abs_diff(524_288) < 100 && small.live.count.abs_diff(5243) < 2, "{small:?}");
    }

    #[test]
    fn what_is_no_profile_is_an_error_that_shows_the_line() {
        let error = |text: &str| Dump::parse(text).unwrap_err().to_string();
        assert_eq!(error("heap_v1/1"), "jemalloc's profile has no `heap_v2` in its first line: \"heap_v1/1\"");
        assert!(error("heap_v2/1\n@ zero").contains("a stack without addresses: \"@ zero\""));
        assert!(error("heap_v2/1\n@ 0x1\n t*: many").contains("sums that are none"));
    }
}
