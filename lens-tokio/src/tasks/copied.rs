//! All live tasks of an instant, copied: 64 bytes each, and 48 of very many whose bytes are not counted (on Linux). Separate
//! because of where a million of them are kept. To get memory from the system costs a page fault for each 4 KiB, several
//! times what the copying costs; so they are in a mapping of their own, for which the system is asked for pages of 2 MiB.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::table::entry::{Origin, Row};

/// Tasks from which on a mapping is worth it.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 16;

/// One task, packed.
type Words = [u64; WORDS];
const WORDS: usize = 8;
/// All but the last two, which are zero where bytes are not counted.
const WORDS_WITHOUT_BYTES: usize = 6;
const WORD: usize = size_of::<u64>();

/// The tasks.
#[derive(Default)]
pub(crate) struct Copied {
    #[cfg(target_os = "linux")]
    mapped: Option<Mapped>,
    /// Those for which there is no room in the mapping, or not for their bytes.
    others: Vec<Words>,
}

/// A mapping, of which the first part is filled.
#[cfg(target_os = "linux")]
struct Mapped {
    memory: memmap2::MmapMut,
    /// Whether all words of a task are kept.
    has_bytes: bool,
    count: usize,
}

impl Copied {
    /// Room for about so many, best if tasks have bytes just as said.
    pub(crate) fn with_capacity(tasks: usize, has_bytes: bool) -> Self {
        #[cfg(target_os = "linux")]
        if tasks >= LARGE
            && let Some(mapped) = Mapped::new(tasks + tasks / 16, has_bytes)
        {
            return Self { mapped: Some(mapped), others: Vec::new() };
        }
        Self { others: Vec::with_capacity(tasks), ..Self::default() }
    }

    #[inline]
    pub(crate) fn push(&mut self, row: &Row) {
        let words = pack(row);
        #[cfg(target_os = "linux")]
        if let Some(mapped) = &mut self.mapped
            && mapped.push(&words)
        {
            return;
        }
        self.others.push(words);
    }

    pub(crate) fn len(&self) -> usize {
        self.mapped_len() + self.others.len()
    }

    /// The task at this place.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<Row> {
        #[cfg(target_os = "linux")]
        if let Some(words) = self.mapped.as_ref().and_then(|mapped| mapped.get(at)) {
            return Some(unpack(words));
        }
        self.others.get(at.checked_sub(self.mapped_len())?).map(|words| unpack(*words))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row> {
        (0..self.len()).map_while(|at| self.get(at))
    }

    fn mapped_len(&self) -> usize {
        #[cfg(target_os = "linux")]
        return self.mapped.as_ref().map_or(0, |mapped| mapped.count);
        #[cfg(not(target_os = "linux"))]
        return 0;
    }
}

#[cfg(target_os = "linux")]
impl Mapped {
    /// `None` if the system gives no memory.
    fn new(tasks: usize, has_bytes: bool) -> Option<Self> {
        let words = if has_bytes { WORDS } else { WORDS_WITHOUT_BYTES };
        let memory = memmap2::MmapMut::map_anon(tasks * words * WORD).ok()?;
        // Without large pages it is as slow as any memory.
        let _ = memory.advise(memmap2::Advice::HugePage);
        Some(Self { memory, has_bytes, count: 0 })
    }

    /// Whether there was room, for its bytes as well.
    #[inline]
    fn push(&mut self, words: &Words) -> bool {
        let is_kept = match (self.has_bytes, words) {
            (true, _) => self.put(words),
            (false, [kept @ .., 0, 0]) => self.put::<WORDS_WITHOUT_BYTES>(kept),
            (false, _) => false,
        };
        self.count += usize::from(is_kept);
        is_kept
    }

    #[inline]
    fn put<const N: usize>(&mut self, words: &[u64; N]) -> bool {
        let from = self.count * N * WORD;
        let Some(place) = self.memory.get_mut(from..from + N * WORD) else { return false };
        for (bytes, word) in place.as_chunks_mut().0.iter_mut().zip(words) {
            *bytes = word.to_ne_bytes();
        }
        true
    }

    #[inline]
    fn get(&self, at: usize) -> Option<Words> {
        if at >= self.count {
            return None;
        }
        if self.has_bytes { self.words::<WORDS>(at) } else { self.words::<WORDS_WITHOUT_BYTES>(at) }
    }

    #[inline]
    fn words<const N: usize>(&self, at: usize) -> Option<Words> {
        let from = at * N * WORD;
        let place = self.memory.get(from..from + N * WORD)?;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(place.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        Some(words)
    }
}

/// The number of polls has 48 bits, and the milliseconds of the table's clock have 40: the upper 8 of those go with it.
const POLLS_BITS: u32 = 48;

fn pack(row: &Row) -> Words {
    [
        row.id,
        row.parent,
        row.origin.bits(),
        row.polls & ((1 << POLLS_BITS) - 1) | row.last_poll_ms >> 32 << POLLS_BITS,
        row.last_poll_ms << 32 | u64::from(row.longest_ns.to_bits()),
        row.busy_ns,
        row.allocated_bytes,
        row.freed_bytes,
    ]
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half of a word")]
fn unpack([id, parent, origin, polls, last_poll, busy_ns, allocated_bytes, freed_bytes]: Words) -> Row {
    Row {
        id,
        parent,
        origin: Origin::from_bits(origin),
        polls: polls & ((1 << POLLS_BITS) - 1),
        last_poll_ms: polls >> POLLS_BITS << 32 | last_poll >> 32,
        busy_ns,
        longest_ns: f32::from_bits(last_poll as u32),
        allocated_bytes,
        freed_bytes,
    }
}

impl fmt::Debug for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Copied").field(&self.len()).finish()
    }
}

/// A task in a file: nine numbers.
type Wire = (u64, u64, u64, u64, u64, u64, f32, u64, u64);

impl Serialize for Copied {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|row| -> Wire {
            (
                row.id,
                row.parent,
                row.origin.bits(),
                row.polls,
                row.last_poll_ms,
                row.busy_ns,
                row.longest_ns,
                row.allocated_bytes,
                row.freed_bytes,
            )
        }))
    }
}

impl<'de> Deserialize<'de> for Copied {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tasks;
        impl<'de> Visitor<'de> for Tasks {
            type Value = Copied;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tasks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut tasks: A) -> Result<Copied, A::Error> {
                let mut copied = Copied::default();
                while let Some(task) = tasks.next_element::<Wire>()? {
                    let (id, parent, origin, polls, last_poll_ms, busy_ns, longest_ns, allocated_bytes, freed_bytes) =
                        task;
                    let origin = Origin::from_bits(origin);
                    copied.push(&Row {
                        id,
                        parent,
                        origin,
                        polls,
                        last_poll_ms,
                        busy_ns,
                        longest_ns,
                        allocated_bytes,
                        freed_bytes,
                    });
                }
                Ok(copied)
            }
        }
        deserializer.deserialize_seq(Tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task of which each number is its own, and as large as it can be.
    fn row(id: u64) -> Row {
        Row {
            id,
            parent: u64::MAX - 1,
            origin: Origin::from_bits(u64::MAX - 2),
            polls: (1 << POLLS_BITS) - 1 - id,
            last_poll_ms: (1 << 40) - 1 - id,
            busy_ns: u64::MAX - 3,
            longest_ns: 1.5e9,
            allocated_bytes: u64::MAX - 4,
            freed_bytes: u64::MAX - 5,
        }
    }

    #[test]
    fn few_and_many_come_out_as_they_went_in_also_beyond_the_capacity() {
        for (capacity, count) in [(0, 10), (10, 10), (100_000, 1000), (100_000, 150_000)] {
            for has_bytes in [false, true] {
                let row = |id| if has_bytes { row(id) } else { Row { allocated_bytes: 0, freed_bytes: 0, ..row(id) } };
                let mut copied = Copied::with_capacity(capacity, has_bytes);
                (1..=count).for_each(|id| copied.push(&row(id)));
                assert_eq!(copied.len() as u64, count);
                assert!(copied.iter().eq((1..=count).map(row)), "{capacity} {count}");
                assert_eq!(copied.get(copied.len()), None);
            }
        }
    }

    #[test]
    fn bytes_that_were_not_expected_are_kept() {
        let mut copied = Copied::with_capacity(LARGE, false);
        let without = Row { allocated_bytes: 0, freed_bytes: 0, ..row(1) };
        [&without, &row(2), &without].into_iter().for_each(|row| copied.push(row));
        let mut ids: Vec<_> = copied.iter().map(|row| (row.id, row.allocated_bytes, row.freed_bytes)).collect();
        ids.sort_unstable();
        assert_eq!(ids, [(1, 0, 0), (1, 0, 0), (2, u64::MAX - 4, u64::MAX - 5)]);
    }

    #[test]
    fn a_file_has_nine_numbers_a_task() {
        let mut copied = Copied::with_capacity(2, true);
        (1..=2).for_each(|id| copied.push(&row(id)));
        let json = serde_json::to_value(&copied).unwrap();
        assert_eq!(json[0].as_array().unwrap().len(), 9);
        let again: Copied = serde_json::from_value(json).unwrap();
        assert!(again.iter().eq(copied.iter()));
    }
}
