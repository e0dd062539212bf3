//! Source places as small numbers. Separate because places come with every spawn and every new lock, and are the same few
//! over and over: a place is a text once, in a table that only grows, up to a cap.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lens_core::Place as Shown;

use super::shards::SpanHasher;

/// How many source places are kept; what comes from further ones has no place, and is counted.
pub const MAX_PLACES: usize = 8192;

/// The number of a place; [`NOWHERE`] for what has none.
pub(super) type Place = u32;

/// The place of what has none, or came after the table was full.
pub(super) const NOWHERE: Place = 0;

/// How many places each thread remembers.
const REMEMBERED: usize = 64;

thread_local! {
    /// The places that this thread saw last: the key, and the number in the table with that tag.
    static SEEN: [Cell<(u64, u32, Place)>; REMEMBERED] = const { [const { Cell::new((0, 0, NOWHERE)) }; REMEMBERED] };
}

/// Every place that was seen.
pub(super) struct Places {
    tag: u32,
    table: RwLock<Table>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Table {
    numbers: HashMap<u64, Place, BuildHasherDefault<SpanHasher>>,
    texts: Vec<Arc<str>>,
}

impl Places {
    /// An empty table; `tag` tells it from others in the same process.
    pub(super) fn new(tag: u32) -> Self {
        Self { tag, table: RwLock::default(), dropped: AtomicU64::new(0) }
    }

    /// The number of a place. Allocates when it is new.
    pub(super) fn number(&self, file: &str, line: u64, column: u64) -> Place {
        if file.is_empty() {
            return NOWHERE;
        }
        let mut hasher = SpanHasher::default();
        hasher.write(file.as_bytes());
        hasher.write_u64(line << 20 ^ column);
        let key = hasher.finish();
        SEEN.with(|seen| {
            let slot = &seen[usize::from(key.to_le_bytes()[0]) % REMEMBERED];
            let (seen_key, tag, number) = slot.get();
            if seen_key == key && tag == self.tag {
                return number;
            }
            let number = self.find(key).unwrap_or_else(|| self.add(key, file, line, column));
            slot.set((key, self.tag, number));
            number
        })
    }

    fn find(&self, key: u64) -> Option<Place> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&key).copied()
    }

    fn add(&self, key: u64, file: &str, line: u64, column: u64) -> Place {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.numbers.get(&key) {
            return *number;
        }
        let number = match Place::try_from(table.texts.len() + 1) {
            Ok(number) if table.texts.len() < MAX_PLACES => number,
            _ => {
                drop(table);
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return NOWHERE;
            }
        };
        let narrow = |number: u64| u32::try_from(number).ok();
        let place = Shown { file, line: narrow(line).unwrap_or(0), column: narrow(column) };
        table.texts.push(place.to_string().into());
        table.numbers.insert(key, number);
        number
    }

    /// The text of a place.
    pub(super) fn text(&self, place: Place) -> Option<Arc<str>> {
        let index = usize::try_from(place).ok()?.checked_sub(1)?;
        self.table.read().unwrap_or_else(PoisonError::into_inner).texts.get(index).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).texts.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let texts: usize = table.texts.iter().map(|text| text.len() + 2 * size_of::<usize>()).sum();
        texts + table.texts.capacity() * size_of::<Arc<str>>() + table.numbers.capacity() * size_of::<(u64, Place)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_its_number_on_every_thread() {
        let places = Places::new(1);
        let first = places.number("src/cart.rs", 41, 9);
        let second = places.number("src/cart.rs", 42, 9);
        assert_ne!(first, second);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(places.number("src/cart.rs", 41, 9), first));
        });
        assert_eq!(places.text(first).as_deref(), Some("src/cart.rs:41:9"));
        assert_eq!(places.number("", 0, 0), NOWHERE);
        assert_eq!(places.text(NOWHERE), None);
    }

    #[test]
    fn places_past_the_cap_are_counted_and_nowhere() {
        let places = Places::new(2);
        for line in 0..MAX_PLACES as u64 {
            assert_ne!(places.number("a.rs", line, 1), NOWHERE);
        }
        assert_eq!(places.number("b.rs", 1, 1), NOWHERE);
        assert_eq!((places.len(), places.dropped()), (MAX_PLACES, 1));
    }
}
