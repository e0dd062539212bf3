//! The table's two clocks: a coarse one that costs a load, and the processor's counter for the polls that are measured.
//! Separate because only this file knows what a tick is.
//!
//! A [`Ticker`](super::Ticker) stores the milliseconds since the start every few milliseconds; a hook compares what it
//! finds before and after a poll. While nothing ticks, the coarse clock reads zero and hooks read the counter instead:
//! right as well, and about 10 ns dearer.
#![expect(unsafe_code, reason = "the processor's counter is an intrinsic")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync::{AtomicU32, AtomicU64, Ordering, array_of, const_fn};

/// For how long the counter is compared with the system's clock at the start.
const CALIBRATION: Duration = Duration::from_millis(2);

/// How often the ticker compares the counter with the system's clock again.
const RECALIBRATION: Duration = Duration::from_secs(1);

/// How many of the last ticks are known.
const TICKS: usize = 32;

/// How far ticks are apart, but for late ones.
const LONGEST_PERIOD_MS: u64 = 10;

#[derive(Debug)]
pub(crate) struct Clock {
    start: OnceLock<Start>,
    /// Milliseconds since the start, at the last tick; 0 while nothing ticks.
    now_ms: AtomicU64,
    /// Nanoseconds of one unit of the counter, times 2^32; 0 before the start.
    scale: AtomicU64,
    /// When the last ticks were. The next one is stored at `next_tick`, over the oldest.
    ticks: [AtomicU64; TICKS],
    next_tick: AtomicU32,
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
                ticks: array_of![AtomicU64::new(0); TICKS],
                next_tick: AtomicU32::new(0),
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

    /// By when what began at `ms` of this clock had begun: at its next tick, or at once if nothing ticked then. `None` if
    /// it has not ticked since.
    #[cold]
    pub(crate) fn begun_by(&self, ms: u64) -> Option<u64> {
        let ticks = || self.ticks.iter().map(|tick| tick.load(Ordering::Relaxed));
        let Some(next) = ticks().filter(|&tick| tick > ms).min() else {
            return ticks().all(|tick| tick != ms).then_some(ms);
        };
        let is_known = ticks().any(|tick| tick <= ms);
        Some(if is_known { next } else { next.min(ms + LONGEST_PERIOD_MS) })
    }

    /// How long a poll took in nanoseconds, from when the coarse clock said `from_ms` to now, if it certainly took `least_ms`.
    pub(crate) fn certain_ns(&self, from_ms: u64, now_ms: u64, least_ms: u64) -> Option<u64> {
        let by_ms = self.begun_by(from_ms)?;
        // It began anywhere between two ticks: in the middle, on average, if the second was not late.
        let from_ms = from_ms.max(by_ms.saturating_sub(LONGEST_PERIOD_MS));
        let middle = (now_ms.saturating_sub(from_ms) + now_ms.saturating_sub(by_ms)) * 500_000;
        (now_ms.saturating_sub(by_ms) >= least_ms).then_some(middle)
    }

    /// Sets how long a unit of the counter is, by all that it has counted since the start: by the last second alone, an error
    /// of a few nanoseconds would move the time by as many days' worth.
    fn calibrate(&self, start: &Start, to: (Instant, u64)) {
        if let Some(scale) = scale((start.at, start.counter), to) {
            self.scale.store(scale, Ordering::Relaxed);
        }
    }

    /// A tick, at `ms`. Of two tickers, the one that is behind changes nothing.
    fn tick(&self, ms: u64) {
        if ms > self.now_ms.load(Ordering::Relaxed) {
            let at = self.next_tick.fetch_add(1, Ordering::Relaxed) as usize % TICKS;
            self.ticks[at].store(ms, Ordering::Relaxed);
            self.now_ms.fetch_max(ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_ticker(&self) {
        self.tickers.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove_ticker(&self) {
        if self.tickers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.now_ms.store(0, Ordering::Relaxed);
        }
    }
}

/// What one ticker remembers from tick to tick.
#[derive(Debug)]
pub(crate) struct Ticks {
    calibrated: Option<Instant>,
}

impl Ticks {
    pub(crate) fn new() -> Self {
        Self { calibrated: None }
    }

    pub(crate) fn tick(&mut self, clock: &Clock) {
        let Some(start) = clock.start.get() else { return };
        clock.tick(clock.exact_ms());
        match self.calibrated {
            None => self.calibrated = Some(start.at),
            Some(at) if at.elapsed() >= RECALIBRATION => {
                clock.calibrate(start, pair(start));
                self.calibrated = Some(Instant::now());
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
        // The scale was found out in two milliseconds.
        assert!(measured <= truth + truth / 1000, "{measured} within {truth}");
        assert!(measured >= 19_900_000, "{measured}");
    }

    #[test]
    fn the_time_does_not_jump_by_what_a_calibration_is_wrong_by() {
        const NANOS: u64 = 1_000_000_000;
        let clock = Clock::new();
        let start = Start { at: Instant::now(), counter: 0, counts: Counts::Nanoseconds, overhead_ns: 0 };
        // Three units of the counter a nanosecond, read up to 100 ns late.
        let month_s = 30 * 24 * 3600;
        let times = [0, 100, 0, 50].iter().zip(month_s..).map(|(wrong, seconds): (&u64, u64)| {
            clock.calibrate(&start, (start.at + Duration::from_nanos(seconds * NANOS + wrong), seconds * NANOS * 3));
            clock.nanos(month_s * NANOS * 3)
        });
        let times: Vec<_> = times.collect();
        assert!(times.iter().all(|time| time.abs_diff(month_s * NANOS) < 5_000_000), "{times:?}");
        assert!(times.windows(2).all(|pair| pair[0].abs_diff(pair[1]) < 1_000_000), "{times:?}");
    }

    #[test]
    fn what_began_between_two_ticks_had_begun_by_the_second() {
        let clock = Clock::new();
        for ms in [7, 10, 20, 25, 26] {
            clock.tick(ms);
        }
        let by = |ms| clock.begun_by(ms);
        assert_eq!([by(7), by(10), by(20), by(25), by(26)], [Some(10), Some(20), Some(25), Some(26), None]);
        clock.tick(24);
        assert_eq!(by(20), Some(25), "another ticker was behind");

        // One that began at 10 to 20 ms, that long after a pause, and one at 20 to 25 ms.
        let certain = |from, now| clock.certain_ns(from, now, 5);
        assert_eq!([certain(10, 24), certain(10, 25), certain(10, 45)], [None, Some(10_000_000), Some(30_000_000)]);
        assert_eq!([certain(20, 29), certain(20, 30), certain(26, 40)], [None, Some(7_500_000), None]);
        assert_eq!(by(27), Some(27), "nothing ticked then");

        // Ticks that are not known any more were as far apart as ticks may be.
        (27..=70).for_each(|ms| clock.tick(ms));
        assert_eq!([by(7), by(10)], [Some(17), Some(20)]);
        assert_eq!([by(30), by(50), by(70)], [Some(39), Some(51), None]);

        clock.tick(170);
        assert_eq!(certain(70, 176), Some(11_000_000), "the tick was late, and the poll hardly as early");
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
