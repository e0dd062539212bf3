//! Where the tasks of a page are in it, and what else it holds. Separate because this is arithmetic of cache lines, and
//! nothing else is.
//!
//! A poll writes into its task's half of a line. Two workers that poll tasks of one line take it from each other, which
//! costs as much as the poll. So all but two tasks have a line in which no other is counted, with what else there is to
//! know of them. A line for each task would make a page longer: the two share one, and have the rest, which fewer polls
//! write, in words that the other lines have left. So has the page what it needs itself.
//!
//! ```text
//! line      0            1                  2                        14
//!       ┌───┬───┬─────────────┬───┬─────────────┬───┬─ … ─┬──────────────┬────┐
//! task  │ 0 │ 1 │ rest of 2, w│ 2 │ rest of 3, w│ 3 │     │ rest of 15, w│ 15 │
//!       └───┴───┴─────────────┴───┴─────────────┴───┴─ … ─┴──────────────┴────┘
//! ```

use crate::sync::{AtomicU64, Ordering, array_of, const_fn};

use super::super::entry::{Entry, Hot};
use super::super::freed::Freed;
use super::{PAGE, PLACES};

/// Tasks that share a line.
const SHARING: usize = 2;

/// Bits of a page's state that are not the page's number.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// 16 tasks, and who else needs the page.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Page {
    sharing: [Hot; SHARING],
    lines: [Line; PAGE - SHARING],
    /// A model's page of two tasks has no line with a word left.
    #[cfg(loom)]
    words: [AtomicU64; WORDS],
}

/// The line of one task.
#[derive(Debug)]
#[repr(C, align(64))]
struct Line {
    parent: AtomicU64,
    busy_ns: AtomicU64,
    allocated: AtomicU64,
    /// One of the words of the page.
    word: AtomicU64,
    hot: Hot,
}

/// The words of a page: three for each of the tasks that share a line, and those of its own.
#[cfg(loom)]
const WORDS: usize = INDEX + 1;
const STATE: usize = 3 * SHARING;
const AT: usize = STATE + 1;
const NEXT: usize = STATE + 2;
const INDEX: usize = STATE + 3;

impl Line {
    const_fn! {
        fn new() -> Self {
            Self {
                parent: AtomicU64::new(0),
                busy_ns: AtomicU64::new(0),
                allocated: AtomicU64::new(0),
                word: AtomicU64::new(0),
                hot: Hot::new(),
            }
        }
    }
}

impl Page {
    const_fn! {
        pub(super) fn new() -> Self {
            Self {
                sharing: array_of![Hot::new(); SHARING],
                lines: array_of![Line::new(); PAGE - SHARING],
                #[cfg(loom)]
                words: array_of![AtomicU64::new(0); WORDS],
            }
        }
    }

    #[inline]
    fn word(&self, word: usize) -> &AtomicU64 {
        #[cfg(loom)]
        return &self.words[word];
        #[cfg(not(loom))]
        return &self.lines[word].word;
    }

    /// The page's number (40 bits) and how many live tasks and places held by threads it has (24 bits). With none it
    /// belongs to the thread that took the last one away, then to the free list.
    #[inline]
    pub(super) fn state(&self) -> &AtomicU64 {
        self.word(STATE)
    }

    /// Where the directory names it.
    pub(super) fn at(&self) -> &AtomicU64 {
        self.word(AT)
    }

    /// The next page of the free list, plus one.
    pub(super) fn next(&self) -> &AtomicU64 {
        self.word(NEXT)
    }

    /// Its own index; written before anybody else knows the page.
    #[inline]
    pub(super) fn index(&self) -> &AtomicU64 {
        self.word(INDEX)
    }

    /// What every poll of a task writes.
    #[inline]
    pub(super) fn hot(&self, id: u64) -> &Hot {
        let place = place(id);
        self.line(place).map_or_else(|| &self.sharing[place % SHARING], |line| &line.hot)
    }

    /// All that there is of a task.
    #[inline]
    pub(super) fn entry<'a>(&'a self, id: u64, freed: &'a Freed) -> Entry<'a> {
        let place = place(id);
        let freed = freed.of(self.index(), place);
        match self.line(place) {
            Some(Line { parent, busy_ns, allocated, hot, .. }) => Entry { hot, parent, busy_ns, allocated, freed },
            None => {
                let [parent, busy_ns, allocated] = [0, 1, 2].map(|word| self.word(3 * place + word));
                Entry { hot: self.hot(id), parent, busy_ns, allocated, freed }
            }
        }
    }

    /// The same, of all places.
    pub(super) fn entries<'a>(&'a self, freed: &'a Freed) -> impl Iterator<Item = Entry<'a>> {
        (0..u64::from(PLACES)).map(move |place| self.entry(place, freed))
    }

    #[inline]
    fn line(&self, place: usize) -> Option<&Line> {
        self.lines.get(place.wrapping_sub(SHARING))
    }

    /// Reserves places in it for each of its ids, if it is the page of this number.
    pub(super) fn join(&self, number: u64) -> bool {
        let mut now = self.state().load(Ordering::Acquire);
        // An empty page is on its way to the free list, or out of it for another number.
        while has_number(now, number) {
            let joined = now + u64::from(PLACES);
            match self.state().compare_exchange_weak(now, joined, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(newer) => now = newer,
            }
        }
        false
    }
}

/// Whether a page's state is of the page of this number, and not empty.
#[inline]
fn has_number(state: u64, number: u64) -> bool {
    (state ^ (number << COUNT_BITS)) <= COUNT && state & COUNT != 0
}

/// The state of a page of this number that one thread has reserved.
pub(super) fn opened(number: u64) -> u64 {
    number << COUNT_BITS | u64::from(PLACES)
}

/// How many live tasks and places held by threads a page with this state has.
#[inline]
pub(super) fn count(state: u64) -> u64 {
    state & COUNT
}

/// A task's place in its page.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "within a page, the lowest bits of the id count")]
fn place(id: u64) -> usize {
    id as usize % PAGE
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;
    use std::ptr;

    use super::*;

    #[test]
    fn all_but_two_tasks_have_a_line_in_which_no_other_is_counted() {
        let page = Page::new();
        let line = |id: u64| ptr::from_ref(page.hot(id)).addr() / 64;
        let lines: HashSet<_> = (0..16).map(line).collect();
        assert_eq!(lines.len(), 15);
        assert_eq!(line(0), line(1));
        assert_eq!(size_of::<Page>(), 15 * 64);
        assert_eq!(ptr::from_ref(&page).addr() % 64, 0);
    }

    #[test]
    fn no_word_of_a_page_is_used_twice() {
        let (page, freed) = (Page::new(), Freed::new());
        let of_tasks = (0..16).flat_map(|id| {
            let entry = page.entry(id, &freed);
            let hot = ptr::from_ref(entry.hot).addr();
            assert_eq!(hot, ptr::from_ref(page.hot(id)).addr());
            let rest = [entry.parent, entry.busy_ns, entry.allocated].map(|word| ptr::from_ref(word).addr());
            rest.into_iter().chain((0..4).map(move |word| hot + 8 * word))
        });
        let of_page = [page.state(), page.at(), page.next(), page.index()].map(|word| ptr::from_ref(word).addr());
        let all: Vec<_> = of_tasks.chain(of_page).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert_eq!(all.len(), 16 * 7 + 4);
        let first = ptr::from_ref(&page).addr();
        assert!(all.iter().all(|word| (first..first + size_of::<Page>()).contains(word)));
    }
}
