//! The places that tasks were spawned at, numbered. Separate because a number of 16 bits is what the table keeps per
//! task, and only this file turns it back into a place.

use std::panic::Location;

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering, array_of, const_fn};

/// The most sites. Those beyond share the number [`OTHERS`].
#[cfg(not(loom))]
pub(crate) const MAX_SITES: usize = 1024;
#[cfg(loom)]
pub(crate) const MAX_SITES: usize = 8;

/// The number that all sites share for which there was no room.
pub(crate) const OTHERS: u16 = 0;

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
        std::ptr::eq(self.place, other.place) && self.name.map(str::as_ptr) == other.name.map(str::as_ptr)
    }

    fn hash(&self) -> usize {
        let name = self.name.map_or(0, |name| name.as_ptr().addr());
        let mixed = (std::ptr::from_ref(self.place).addr() ^ name.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed >> 32
    }
}

/// A set of sites that only grows.
#[derive(Debug)]
pub(crate) struct Sites {
    /// Numbers, by hash; 0 for none.
    buckets: [AtomicU32; BUCKETS],
    sites: [Once<Site>; MAX_SITES],
    /// The next number; the first is [`OTHERS`].
    next: AtomicU32,
    refused: AtomicU64,
}

impl Sites {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                buckets: array_of![AtomicU32::new(0); BUCKETS],
                sites: array_of![Once::new(); MAX_SITES],
                next: AtomicU32::new(1),
                refused: AtomicU64::new(0),
            }
        }
    }

    /// The number of a site, given to it now if it is new.
    #[inline]
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
        let room = |next: u32| ((next as usize) < MAX_SITES).then(|| next + 1);
        let Ok(number) = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) else {
            return self.refuse();
        };
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

    /// Every number that is in use.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u16> {
        0..narrow(self.next.load(Ordering::Acquire))
    }

    /// Spawns at sites for which there was no number.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many sites there are.
    pub(crate) fn len(&self) -> usize {
        self.next.load(Ordering::Relaxed) as usize - 1
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
        assert_eq!(numbers.iter().filter(|&&number| number == OTHERS).count(), 11);
        assert_eq!(sites.refused(), 11);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), MAX_SITES);
    }
}
