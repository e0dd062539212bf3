//! How often each place in the source did something: a table that the service's threads count in and lens's read. Separate
//! because it is a lock-free protocol of its own, and both panics and log events are counted by it.
//!
//! # Ordering
//!
//! A place takes a slot by exchanging the slot's key, 0, for its own. Whoever succeeds is the only one that ever describes
//! the slot; a `OnceLock` whose one writer meets no other never waits. A reader takes the description with the lock's
//! acquire, so it sees it whole or not yet. A key never changes again, so a place is found at the first slot of its probe
//! sequence that has its key; a thread that loses the exchange looks at the winner's key before it goes on, so that one
//! place never gets two slots. Counts are relaxed: each is monotonic, and two of them need not be of the same instant.

use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many slots a place may try, before it is counted as one of the others.
const PROBES: usize = 32;

/// Counts by place, for at most as many places as it was made for.
pub(crate) struct Places<P> {
    slots: Box<[Slot<P>]>,
    others: AtomicU64,
}

struct Slot<P> {
    key: AtomicU64,
    count: AtomicU64,
    /// How many events were kept in this period; see [`Places::renew`].
    kept: AtomicU32,
    place: OnceLock<P>,
}

impl<P> Slot<P> {
    fn counted(&self, number: usize) -> Counted {
        self.count.fetch_add(1, Ordering::Relaxed);
        let kept = self.kept.fetch_add(1, Ordering::Relaxed);
        Counted { number: u16::try_from(number).ok(), kept }
    }
}

/// Where an event was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The place's number; `None` for one of the others, which are only counted together.
    pub(crate) number: Option<u16>,
    /// How many events of the place were counted before in this period.
    pub(crate) kept: u32,
}

impl<P> Places<P> {
    /// Places for `cap` places, a power of two of at most 2¹⁵.
    pub(crate) fn new(cap: usize) -> Self {
        assert!(cap.is_power_of_two() && cap <= 1 << 15, "places are numbered with 16 bits");
        let slot = |_| Slot {
            key: AtomicU64::new(0),
            count: AtomicU64::new(0),
            kept: AtomicU32::new(0),
            place: OnceLock::new(),
        };
        Self { slots: (0..cap).map(slot).collect(), others: AtomicU64::new(0) }
    }

    /// Counts an event at the place `key`. `describe` is called for the first one only.
    pub(crate) fn count(&self, key: NonZeroU64, describe: impl FnOnce() -> P) -> Counted {
        for probe in 0..PROBES.min(self.slots.len()) {
            let number = self.slot_number(key, probe);
            let slot = &self.slots[number];
            let mut found = slot.key.load(Ordering::Relaxed);
            if found == 0 {
                match slot.key.compare_exchange(0, key.get(), Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        // Nobody else sets it.
                        let _ = slot.place.set(describe());
                        return slot.counted(number);
                    }
                    Err(winner) => found = winner,
                }
            }
            if found == key.get() {
                return slot.counted(number);
            }
        }
        self.others.fetch_add(1, Ordering::Relaxed);
        Counted { number: None, kept: 0 }
    }

    fn slot_number(&self, key: NonZeroU64, probe: usize) -> usize {
        let bits = self.slots.len().trailing_zeros();
        // Fibonacci hashing: the highest bits of the product are the best mixed.
        let hash = key.get().wrapping_mul(0x9e37_79b9_7f4a_7c15).checked_shr(64 - bits).unwrap_or(0);
        (usize::try_from(hash).unwrap_or(0) + probe) & (self.slots.len() - 1)
    }

    /// Begins a new period: each place may be [kept](Counted::kept) from the start again.
    pub(crate) fn renew(&self) {
        for slot in &self.slots {
            slot.kept.store(0, Ordering::Relaxed);
        }
    }

    /// The place of a number.
    pub(crate) fn get(&self, number: u16) -> Option<&P> {
        self.slots.get(usize::from(number))?.place.get()
    }

    /// Every place that is described, with its number and count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &P, u64)> {
        (0_u16..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| Some((number, slot.place.get()?, slot.count.load(Ordering::Relaxed))))
    }

    /// Events at places beyond the cap.
    pub(crate) fn others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }

    /// Bytes that it takes, without what the places' descriptions own.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val::<[Slot<P>]>(&self.slots)
    }

    /// How many places it holds at most.
    pub(crate) fn cap(&self) -> usize {
        self.slots.len()
    }
}

/// The key of a place that has no address of its own: FNV-1a over its parts.
pub(crate) fn key(file: &str, line: u32, column: u32) -> NonZeroU64 {
    let numbers = line.to_le_bytes().into_iter().chain(column.to_le_bytes());
    let hash = file
        .bytes()
        .chain(numbers)
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key_of(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    #[test]
    fn each_place_has_its_count_and_is_described_by_its_first() {
        let places = Places::new(16);
        places.count(key_of(7), || "seven");
        places.count(key_of(7), || "never");
        places.count(key_of(8), || "eight");
        let counts: BTreeMap<_, _> = places.iter().map(|(_, place, count)| (*place, count)).collect();
        assert_eq!(counts, BTreeMap::from([("seven", 2), ("eight", 1)]));
    }

    #[test]
    fn places_beyond_the_cap_are_counted_together() {
        let places = Places::new(4);
        for number in 1..=10 {
            places.count(key_of(number), || number);
        }
        assert_eq!(places.iter().count(), 4);
        assert_eq!(places.others(), 6);
    }

    #[test]
    fn a_period_ends_what_was_kept_and_not_what_was_counted() {
        let places = Places::new(4);
        assert_eq!(places.count(key_of(1), || ()).kept, 0);
        assert_eq!(places.count(key_of(1), || ()).kept, 1);
        places.renew();
        assert_eq!(places.count(key_of(1), || ()).kept, 0);
        assert_eq!(places.iter().next().unwrap().2, 3);
    }

    #[test]
    fn threads_that_race_for_a_slot_lose_no_count_and_describe_once() {
        const THREADS: u64 = 4;
        const ROUNDS: u64 = 20_000;
        let places = Places::new(64);
        let described = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let number = round % 48 + 1;
                        places.count(key_of(number), || {
                            described.fetch_add(1, Ordering::Relaxed);
                            number
                        });
                    }
                });
            }
        });
        let kept: BTreeMap<_, _> = places.iter().map(|(_, place, count)| (*place, count)).collect();
        let expected = |number| THREADS * (0..ROUNDS).filter(|round| round % 48 + 1 == number).count() as u64;
        assert_eq!(kept, (1..=48).map(|number| (number, expected(number))).collect());
        assert_eq!(described.load(Ordering::Relaxed), 48);
        assert_eq!(places.others(), 0);
    }

    #[test]
    fn keys_differ_by_line_and_column() {
        assert_ne!(key("a.rs", 1, 2), key("a.rs", 2, 1));
        assert_eq!(key("a.rs", 1, 2), key("a.rs", 1, 2));
    }
}
