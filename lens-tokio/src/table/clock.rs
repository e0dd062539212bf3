//! The table's two clocks: a coarse one that costs a load, and the processor's counter for the polls that are measured.
//! Separate because only this file knows what a tick is.
//!
//! A [`Ticker`](super::Ticker) stores the milliseconds since the start every few milliseconds; a hook compares what it
//! finds before and after a poll. While nothing ticks, the coarse clock reads zero and hooks read the counter instead:
//! right as well, and about 10 ns dearer.
#![expect(unsafe_code, reason = "the processor's counter is an intrinsic")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, AtomicU64, Ordering, const_fn};

/// For how long the counter is compared with the system's clock at the start.
const CALIBRATION: Duration = Duration::from_millis(2);

/// How often the ticker compares the counter with the system's clock again.
const RECALIBRATION: Duration = Duration::from_secs(1);

/// Ticks of which the longest counts as the ticker's period.
const PERIODS: usize = 8;

#[derive(Debug)]
pub(crate) struct Clock {
    start: OnceLock<Start>,
    /// Milliseconds since the start, at the last tick; 0 while nothing ticks.
    now_ms: AtomicU64,
    /// Nanoseconds of one unit of the counter, times 2^32; 0 before the start.
    scale: AtomicU64,
    /// The longest of the last intervals between ticks, in milliseconds.
    period_ms: AtomicU32,
    tickers: AtomicU32,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    at: Instant,
    counter: u64,
    counts: Counts,
    /// What two readings of the counter in a row differ by.
    overhead_ns: u64,
}

/// What the counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// Cycles of an invariant time stamp counter.
    #[cfg(target_arch = "x86_64")]
    Cycles,
    /// Nanoseconds since the start.
    Nanoseconds,
}

impl Clock {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                start: OnceLock::new(),
                now_ms: AtomicU64::new(0),
                scale: AtomicU64::new(0),
                period_ms: AtomicU32::new(0),
                tickers: AtomicU32::new(0),
            }
        }
    }

    /// Makes the clock usable: takes 2 ms the first time. Before it, every reading is the first millisecond.
    pub(crate) fn start(&self) {
        self.start.get_or_init(|| {
            let counts = counts();
            let start = Start { at: Instant::now(), counter: 0, counts, overhead_ns: 0 };
            let from = pair(&start);
            while from.0.elapsed() < CALIBRATION {
                std::hint::spin_loop();
            }
            // A counter that has not moved would be a broken one; then nothing is measured.
            self.scale.store(scale(from, pair(&start)).unwrap_or(0), Ordering::Relaxed);
            let overhead = (0..64).map(|_| start.read().abs_diff(start.read())).min().unwrap_or(0);
            Start { at: from.0, counter: from.1, overhead_ns: self.nanos(overhead), ..start }
        });
    }

    /// Milliseconds since the start, as of the last tick; at least 1.
    #[inline]
    pub(crate) fn now_ms(&self) -> u64 {
        match self.now_ms.load(Ordering::Relaxed) {
            0 => self.exact_ms(),
            now => now,
        }
    }

    /// The same, or 0 if nothing ticks.
    #[inline]
    pub(crate) fn ticked_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Milliseconds since the start, read off the counter; at least 1.
    #[cold]
    pub(crate) fn exact_ms(&self) -> u64 {
        let Some(start) = self.start.get() else { return 1 };
        self.nanos(start.read().saturating_sub(start.counter)) / 1_000_000 + 1
    }

    /// The counter.
    #[inline]
    pub(crate) fn counter(&self) -> u64 {
        self.start.get().map_or(0, Start::read)
    }

    /// Nanoseconds from one reading of the counter to another, without what the reading itself takes.
    #[inline]
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        let overhead = self.start.get().map_or(0, |start| start.overhead_ns);
        self.nanos(to.saturating_sub(from)).saturating_sub(overhead)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "2^64 ns are 584 years")]
    fn nanos(&self, counts: u64) -> u64 {
        ((u128::from(counts) * u128::from(self.scale.load(Ordering::Relaxed))) >> 32) as u64
    }

    /// Whether something ticks.
    pub(crate) fn is_ticking(&self) -> bool {
        self.ticked_ms() != 0
    }

    /// Whether the coarse clock has moved on from `ms`.
    #[inline]
    pub(crate) fn is_past(&self, ms: u64) -> bool {
        self.ticked_ms() > ms
    }

    /// How much the coarse clock has to move during a poll, for the poll certainly to be longer than a tick: two of the
    /// longest of the last intervals between ticks.
    #[inline]
    pub(crate) fn seen_from_ms(&self) -> u64 {
        match self.period_ms.load(Ordering::Relaxed) {
            0 => u64::MAX,
            period => 2 * u64::from(period),
        }
    }

    pub(crate) fn add_ticker(&self) {
        self.tickers.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove_ticker(&self) {
        if self.tickers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.now_ms.store(0, Ordering::Relaxed);
            self.period_ms.store(0, Ordering::Relaxed);
        }
    }
}

/// What one ticker remembers from tick to tick.
#[derive(Debug)]
pub(crate) struct Ticks {
    last_ms: u64,
    intervals: [u64; PERIODS],
    next: usize,
    calibrated: Option<(Instant, u64)>,
}

impl Ticks {
    pub(crate) fn new() -> Self {
        Self { last_ms: 0, intervals: [0; PERIODS], next: 0, calibrated: None }
    }

    pub(crate) fn tick(&mut self, clock: &Clock) {
        let Some(start) = clock.start.get() else { return };
        let now = clock.exact_ms();
        if self.last_ms != 0 {
            self.intervals[self.next] = now.saturating_sub(self.last_ms);
            self.next = (self.next + 1) % PERIODS;
            let longest = self.intervals.into_iter().max().unwrap_or(0);
            clock.period_ms.store(u32::try_from(longest).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        self.last_ms = now;
        // Of two tickers, the one that is behind changes nothing.
        clock.now_ms.fetch_max(now, Ordering::Relaxed);
        match self.calibrated {
            None => self.calibrated = Some(pair(start)),
            Some(from) if from.0.elapsed() >= RECALIBRATION => {
                let to = pair(start);
                if let Some(scale) = scale(from, to) {
                    clock.scale.store(scale, Ordering::Relaxed);
                }
                self.calibrated = Some(to);
            }
            Some(_) => {}
        }
    }
}

impl Start {
    #[inline]
    fn read(&self) -> u64 {
        match self.counts {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: every x86-64 processor has `rdtsc`. Intel SDM 17.17: it may be disabled for user code
            // (CR4.TSD); then `is_invariant`'s kernel would not offer it as its clock source either.
            Counts::Cycles => unsafe { core::arch::x86_64::_rdtsc() },
            Counts::Nanoseconds => u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// Whether the processor's counter runs evenly, whatever the core and its frequency.
fn counts() -> Counts {
    #[cfg(target_arch = "x86_64")]
    {
        const EXTENDED: u32 = 0x8000_0000;
        const POWER: u32 = 0x8000_0007;
        const INVARIANT_TSC: u32 = 1 << 8;
        let has_power = core::arch::x86_64::__cpuid(EXTENDED).eax >= POWER;
        if has_power && core::arch::x86_64::__cpuid(POWER).edx & INVARIANT_TSC != 0 {
            return Counts::Cycles;
        }
    }
    Counts::Nanoseconds
}

/// An instant and the counter at it: the closest of a few tries, in case that the thread is interrupted between the two.
fn pair(start: &Start) -> (Instant, u64) {
    const TRIES: usize = 8;
    let one = || {
        let before = start.read();
        let at = Instant::now();
        let after = start.read();
        (after.saturating_sub(before), at, before + after.saturating_sub(before) / 2)
    };
    let first = one();
    let (_, at, counter) =
        (1..TRIES).map(|_| one()).fold(first, |best, next| if next.0 < best.0 { next } else { best });
    (at, counter)
}

/// Nanoseconds of one unit of the counter, times 2^32.
fn scale(from: (Instant, u64), to: (Instant, u64)) -> Option<u64> {
    let nanos = to.0.duration_since(from.0).as_nanos();
    let counts = to.1.checked_sub(from.1).filter(|&counts| counts > 0)?;
    u64::try_from((nanos << 32) / u128::from(counts)).ok().filter(|&scale| scale > 0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn measured_time_is_the_systems_time() {
        let clock = Clock::new();
        clock.start();
        let (from, counter) = (Instant::now(), clock.counter());
        while from.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let measured = clock.between(counter, clock.counter());
        let truth = u64::try_from(from.elapsed().as_nanos()).unwrap();
        assert!(measured <= truth, "{measured} within {truth}");
        assert!(measured >= 19_900_000, "{measured}");
    }

    #[test]
    fn the_coarse_clock_stands_still_between_ticks_and_is_exact_without_a_ticker() {
        let clock = Clock::new();
        clock.start();
        let first = clock.now_ms();
        while clock.now_ms() < first + 3 {
            std::hint::spin_loop();
        }
        clock.add_ticker();
        let mut ticks = Ticks::new();
        ticks.tick(&clock);
        let ticked = clock.now_ms();
        assert!(ticked >= first + 3);
        while clock.exact_ms() < ticked + 3 {
            std::hint::spin_loop();
        }
        assert_eq!(clock.now_ms(), ticked);
        assert!(!clock.is_past(ticked));
        ticks.tick(&clock);
        assert!(clock.is_past(ticked + 2));
        clock.remove_ticker();
        assert!(!clock.is_ticking());
    }
}
