//! The bytes that tasks freed. Separate from their entries because only a service whose allocator counts has them: the
//! others' entries stay as small as they are.

use crate::sync::{AtomicU64, Once, Ordering, add, array_of, const_fn};

use super::pages::{CHUNK, CHUNKS, PAGE};

/// Places for tasks of one chunk of pages.
const PLACES: usize = CHUNK * PAGE;

/// A counter for each place of a chunk, once a task of it has freed something.
#[derive(Debug)]
pub(crate) struct Freed([Once<[AtomicU64; PLACES]>; CHUNKS]);

impl Freed {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self(array_of![Once::new(); CHUNKS])
        }
    }

    /// What the task at a place of the page with this index freed.
    #[inline]
    pub(crate) fn of<'a>(&'a self, page: &'a AtomicU64, place: usize) -> FreedOf<'a> {
        FreedOf { freed: self, page, place }
    }

    /// Bytes of memory that it takes beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.iter().filter_map(Once::get).map(size_of_val).sum()
    }
}

/// What one task freed. The page's index is looked at only when this is: it is in a line that some task's polls write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreedOf<'a> {
    freed: &'a Freed,
    page: &'a AtomicU64,
    place: usize,
}

impl<'a> FreedOf<'a> {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer pages")]
    fn page(self) -> usize {
        self.page.load(Ordering::Relaxed) as usize
    }

    #[inline]
    fn chunk(self) -> &'a Once<[AtomicU64; PLACES]> {
        &self.freed.0[self.page() / CHUNK % CHUNKS]
    }

    #[inline]
    fn counter(self) -> Option<&'a AtomicU64> {
        Some(&self.chunk().get()?[(self.page() % CHUNK * PAGE + self.place) % PLACES])
    }

    /// The bytes.
    pub(crate) fn get(self) -> u64 {
        self.counter().map_or(0, |freed| freed.load(Ordering::Relaxed))
    }

    /// Begins with a new task.
    #[inline]
    pub(crate) fn clear(self) {
        if let Some(freed) = self.counter() {
            freed.store(0, Ordering::Relaxed);
        }
    }

    /// Adds bytes, if there is room; only for the thread that polls the task.
    #[inline]
    pub(crate) fn add(self, bytes: u64) -> bool {
        let Some(freed) = self.counter() else { return false };
        add(freed, bytes);
        true
    }

    /// Makes room for all tasks of the chunk.
    pub(crate) fn make_room(self) {
        if self.chunk().get().is_none() {
            self.chunk().get_or_set(|| Box::new(array_of![AtomicU64::new(0); PLACES]));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_a_counter_of_its_own_once_there_is_room() {
        let freed = Freed::new();
        let pages = [0, 1, CHUNK - 1, CHUNK, CHUNKS * CHUNK - 1].map(|page| AtomicU64::new(page.try_into().unwrap()));
        let all = || pages.iter().flat_map(|page| (0..PAGE).map(|place| freed.of(page, place)));
        assert!(all().all(|one| !one.add(1) && one.get() == 0));
        // Of the chunk that three of the pages are in.
        freed.of(&pages[1], 3).make_room();
        assert_eq!(all().filter(|one| one.add(0)).count(), 3 * PAGE);
        all().for_each(FreedOf::make_room);
        for (one, bytes) in all().zip(1..) {
            assert!(one.add(bytes));
        }
        assert!(all().zip(1..).all(|(one, bytes)| one.get() == bytes));
        freed.of(&pages[3], 2).clear();
        assert_eq!(all().filter(|one| one.get() == 0).count(), 1);
        assert_eq!(freed.memory_bytes(), 3 * PLACES * 8);
    }
}
