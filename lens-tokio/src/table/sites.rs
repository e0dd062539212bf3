//! The places that tasks were spawned at, numbered. Separate because a number of 16 bits is what the table keeps per
//! task, and only this file turns it back into a place.

use std::panic::Location;

use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Once, Ordering, array_of, const_fn};

/// The most sites. Those beyond share the number [`OTHERS`].
#[cfg(not(loom))]
pub(crate) const MAX_SITES: usize = 1024;
#[cfg(loom)]
pub(crate) const MAX_SITES: usize = 8;

/// The number that all sites share for which there was no room.
pub(crate) const OTHERS: u16 = 0;

/// The number of no site, which is given to none: so that a poll of an untracked task is counted like any other.
#[expect(clippy::cast_possible_truncation, reason = "less than 1024")]
pub(crate) const NOWHERE: u16 = (MAX_SITES - 1) as u16;

/// Twice the sites, so that a search is short.
const BUCKETS: usize = MAX_SITES * 2;
const PROBES: usize = 64;

/// Where tasks were spawned, and the name that the service gave them there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) place: &'static Location<'static>,
    pub(crate) name: Option<&'static str>,
}

impl Site {
    fn is(&self, other: &Self) -> bool {
        self.addresses() == other.addresses()
    }

    /// What tells it from other sites. One place may have several addresses; a reader puts them together.
    #[inline]
    fn addresses(&self) -> (usize, usize) {
        (std::ptr::from_ref(self.place).addr(), self.name.map_or(0, |name| name.as_ptr().addr()))
    }

    #[inline]
    fn hash(&self) -> usize {
        let (place, name) = self.addresses();
        (place ^ name.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
    }
}

/// A set of sites that only grows.
#[derive(Debug)]
pub(crate) struct Sites {
    /// Numbers, by hash; 0 for none.
    buckets: [AtomicU32; BUCKETS],
    sites: [Once<Site>; MAX_SITES],
    /// Whether polls at a site were long lately: 1 if so. Only a change is written, so it stays in every cache.
    has_long_polls: [AtomicU32; MAX_SITES],
    /// How many numbers were given; the first was the one after [`OTHERS`].
    given: AtomicU32,
    refused: AtomicU64,
}

impl Sites {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                buckets: array_of![AtomicU32::new(0); BUCKETS],
                sites: array_of![Once::new(); MAX_SITES],
                has_long_polls: array_of![AtomicU32::new(0); MAX_SITES],
                given: AtomicU32::new(0),
                refused: AtomicU64::new(0),
            }
        }
    }

    /// The number of a site, given to it now if it is new.
    #[cold]
    pub(crate) fn number(&self, site: &Site) -> u16 {
        let hash = site.hash();
        for probe in 0..PROBES {
            let bucket = &self.buckets[hash.wrapping_add(probe) % BUCKETS];
            let number = bucket.load(Ordering::Acquire);
            let known = match number {
                0 => return self.add(site, hash, probe),
                number => self.get(narrow(number)).is_some_and(|known| known.is(site)),
            };
            if known {
                return narrow(number);
            }
        }
        self.refuse()
    }

    /// Gives a new site a number; `probe` is its first empty bucket so far.
    #[cold]
    fn add(&self, site: &Site, hash: usize, probe: usize) -> u16 {
        let room = |given: u32| (given + 1 < u32::from(NOWHERE)).then(|| given + 1);
        let Ok(given) = self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) else {
            return self.refuse();
        };
        let number = given + 1;
        self.sites[number as usize].get_or_set(|| Box::new(*site));
        for probe in probe..PROBES {
            let bucket = &self.buckets[hash.wrapping_add(probe) % BUCKETS];
            match bucket.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return narrow(number),
                // Another thread was faster with the same site: its number counts, ours is lost.
                Err(other) if self.get(narrow(other)).is_some_and(|known| known.is(site)) => return narrow(other),
                Err(_) => {}
            }
        }
        self.refuse()
    }

    #[cold]
    fn refuse(&self) -> u16 {
        self.refused.fetch_add(1, Ordering::Relaxed);
        OTHERS
    }

    /// The site of a number; `None` for [`OTHERS`].
    #[inline]
    pub(crate) fn get(&self, number: u16) -> Option<&Site> {
        self.sites[usize::from(number) % MAX_SITES].get()
    }

    /// Whether polls at a site were long lately.
    #[inline]
    pub(crate) fn has_long_polls(&self, number: u16) -> bool {
        self.has_long_polls[usize::from(number) % MAX_SITES].load(Ordering::Relaxed) != 0
    }

    pub(crate) fn set_has_long_polls(&self, number: u16, has: bool) {
        if self.has_long_polls(number) != has {
            self.has_long_polls[usize::from(number) % MAX_SITES].store(has.into(), Ordering::Relaxed);
        }
    }

    /// Every number that is in use.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u16> {
        0..=narrow(self.given.load(Ordering::Acquire))
    }

    /// Spawns at sites for which there was no number.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many sites there are.
    pub(crate) fn len(&self) -> usize {
        self.given.load(Ordering::Relaxed) as usize
    }
}

/// The numbers of the sites that a thread spawned at last, in its own memory.
#[derive(Debug)]
pub(crate) struct Recent([Remembered; RECENT]);

const RECENT: usize = 16;

#[derive(Debug)]
struct Remembered {
    place: AtomicUsize,
    name: AtomicUsize,
    number: AtomicU32,
}

impl Recent {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self(array_of![
                Remembered { place: AtomicUsize::new(0), name: AtomicUsize::new(0), number: AtomicU32::new(0) };
                RECENT
            ])
        }
    }

    /// The number of a site; only for the thread whose memory it is.
    #[inline]
    pub(crate) fn number(&self, sites: &Sites, site: &Site) -> u16 {
        let known = &self.0[site.hash() % RECENT];
        let (place, name) = site.addresses();
        if known.place.load(Ordering::Relaxed) == place && known.name.load(Ordering::Relaxed) == name {
            return narrow(known.number.load(Ordering::Relaxed));
        }
        let number = sites.number(site);
        // A refused spawn is to be counted each time.
        if number != OTHERS {
            known.place.store(place, Ordering::Relaxed);
            known.name.store(name, Ordering::Relaxed);
            known.number.store(number.into(), Ordering::Relaxed);
        }
        number
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "there are at most 1024 numbers")]
fn narrow(number: u32) -> u16 {
    number as u16
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn site(place: &'static Location<'static>) -> Site {
        Site { place, name: None }
    }

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn a_place_keeps_its_number_and_a_name_makes_another_site() {
        let sites = Sites::new();
        let (one, two) = (here(), here());
        let first = sites.number(&site(one));
        assert_eq!(sites.number(&site(one)), first);
        assert_ne!(sites.number(&site(two)), first);
        assert_ne!(sites.number(&Site { place: one, name: Some("reader") }), first);
        assert_eq!(sites.get(first).unwrap().place.line(), one.line());
    }

    #[test]
    fn sites_beyond_the_most_share_one_number_and_are_counted() {
        let sites = Sites::new();
        let place = here();
        let names: Vec<&'static str> = (0..MAX_SITES + 10).map(|n| &*n.to_string().leak()).collect();
        let mut numbers: Vec<u16> = names.iter().map(|&name| sites.number(&Site { place, name: Some(name) })).collect();
        assert_eq!(numbers.iter().filter(|&&number| number == OTHERS).count(), 12);
        assert_eq!(sites.refused(), 12);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), usize::from(NOWHERE));
        assert!(!numbers.contains(&NOWHERE));
    }
}
