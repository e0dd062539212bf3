//! Where the live tasks are: pages of 16 consecutive ids, found through a directory, recycled when they are empty.
//! Separate because it is the lock-free protocol that loom explores; see the [module above](super) for its argument.

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering, array_of, const_fn, fence};

use super::entry::{Entry, Origin, Row};

/// Ids of one page. More make spawning cheaper by a little; fewer waste less on a long-lived task between short ones,
/// which keeps its page.
pub(crate) const PAGE: usize = 1 << PAGE_BITS;
const PLACES: u32 = 1 << PAGE_BITS;
#[cfg(not(loom))]
const PAGE_BITS: u32 = 4;
#[cfg(loom)]
const PAGE_BITS: u32 = 1;

/// The most pages. Together they hold 4 194 304 tasks of consecutive ids; every further one is counted as untracked.
#[cfg(not(loom))]
pub(crate) const MAX_PAGES: usize = 1 << 18;
#[cfg(loom)]
pub(crate) const MAX_PAGES: usize = 2;

/// Pages that are allocated at once.
#[cfg(not(loom))]
const CHUNK: usize = 64;
#[cfg(loom)]
const CHUNK: usize = 1;
const CHUNKS: usize = MAX_PAGES / CHUNK;

/// Places in the directory, and how many of them a page's number may be in: the chance that all are taken is 2^-15 when
/// all pages are in use.
const DIRECTORY: usize = MAX_PAGES * 2;
#[cfg(not(loom))]
const PROBES: usize = 16;
#[cfg(loom)]
const PROBES: usize = 2;

/// Ids of which the end was seen before the spawn, by their lowest bits.
#[cfg(not(loom))]
const TOMBS: usize = 1024;
#[cfg(loom)]
const TOMBS: usize = 2;

/// Bits of a directory word and of a page's state that are not the page's number.
const LOW_BITS: u32 = 24;
const LOW: u64 = (1 << LOW_BITS) - 1;

/// 16 tasks, and who else needs the page.
#[derive(Debug)]
#[repr(C, align(64))]
struct Page {
    /// The page's number (40 bits) and how many live tasks and reservations it has (24 bits). With none it belongs to
    /// the thread that took the last one away, then to the free list.
    state: AtomicU64,
    /// Where the directory names it.
    at: AtomicU32,
    /// The next page of the free list, plus one.
    next: AtomicU32,
    entries: Entries,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Entries([Entry; PAGE]);

impl Page {
    const_fn! {
        fn new() -> Self {
            Self {
                state: AtomicU64::new(0),
                at: AtomicU32::new(0),
                next: AtomicU32::new(0),
                entries: Entries(array_of![Entry::new(); PAGE]),
            }
        }
    }
}

/// Which entry of which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(u32);

impl Index {
    /// The index as a number, to be kept in an atomic.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The index that [`bits`](Self::bits) gave.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The page that a thread spawns into: it holds a place there for each of the page's ids, so that the page is not
/// recycled between one spawn and the next, and a spawn needs no locked instruction to keep it. Written by one thread.
#[derive(Debug)]
pub(crate) struct Reservation {
    number: AtomicU64,
    page: AtomicU32,
    left: AtomicU32,
}

impl Reservation {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { number: AtomicU64::new(0), page: AtomicU32::new(0), left: AtomicU32::new(0) }
        }
    }
}

/// How a spawn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spawned {
    /// The task is in the table.
    Live,
    /// The task had ended before: it was spawned onto a runtime that shuts down.
    Ended,
    /// There is no room; the task stays untracked.
    Untracked,
}

/// All live tasks.
pub(crate) struct Pages {
    chunks: [Once<[Page; CHUNK]>; CHUNKS],
    /// Words of a page's number (40 bits) and its index plus one (24 bits); 0 for none.
    directory: [AtomicU64; DIRECTORY],
    tombs: [AtomicU64; TOMBS],
    /// The first page of the free list plus one (32 bits), and a tag that changes with every change (32 bits).
    free: AtomicU64,
    /// How many pages were ever used.
    grown: AtomicU32,
    untracked: AtomicU64,
}

impl Pages {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                chunks: array_of![Once::new(); CHUNKS],
                directory: array_of![AtomicU64::new(0); DIRECTORY],
                tombs: array_of![AtomicU64::new(0); TOMBS],
                free: AtomicU64::new(0),
                grown: AtomicU32::new(0),
                untracked: AtomicU64::new(0),
            }
        }
    }

    /// The entry of the live task `id`.
    #[inline]
    pub(crate) fn find(&self, id: u64) -> Option<(Index, &Entry)> {
        let number = id >> PAGE_BITS;
        match self.look(number, 0, id) {
            None => self.find_further(number, id),
            found => found,
        }
    }

    #[cold]
    fn find_further(&self, number: u64, id: u64) -> Option<(Index, &Entry)> {
        (1..PROBES).find_map(|probe| self.look(number, probe, id))
    }

    #[inline]
    fn look(&self, number: u64, probe: usize, id: u64) -> Option<(Index, &Entry)> {
        let word = self.directory[place(number, probe)].load(Ordering::Acquire);
        if !has_number(word, number) {
            return None;
        }
        // Two threads may each have made a page of this number, so that one of them has other ids than this.
        let index = entry_index(low(word) - 1, id);
        let entry = self.entry(index)?;
        entry.is(id).then_some((index, entry))
    }

    /// The entry at `index`, whatever it holds now.
    #[inline]
    pub(crate) fn entry(&self, index: Index) -> Option<&Entry> {
        let page = self.page(index.0 >> PAGE_BITS)?;
        Some(&page.entries.0[index.0 as usize % PAGE])
    }

    #[inline]
    fn page(&self, page: u32) -> Option<&Page> {
        Some(&self.chunks[page as usize / CHUNK % CHUNKS].get()?[page as usize % CHUNK])
    }

    /// Adds the task `id`, through the reservation of the calling thread.
    pub(crate) fn insert(&self, reservation: &Reservation, id: u64, parent: u64, origin: Origin) -> Spawned {
        let number = id >> PAGE_BITS;
        let left = reservation.left.load(Ordering::Relaxed);
        if (reservation.number.load(Ordering::Relaxed) != number || left == 0) && !self.reserve(reservation, number) {
            self.untracked.fetch_add(1, Ordering::Relaxed);
            return Spawned::Untracked;
        }
        let index = entry_index(reservation.page.load(Ordering::Relaxed), id);
        let Some(entry) = self.entry(index) else { return Spawned::Untracked };
        entry.occupy(id, parent, origin);
        // One of the reserved places is the task's now; its end gives it back.
        let left = reservation.left.load(Ordering::Relaxed);
        reservation.left.store(left - 1, Ordering::Relaxed);
        // The other half of `remove`'s tomb: either we see the tomb, or the thread that dug it sees the entry.
        if self.tomb(id).load(Ordering::SeqCst) == id && entry.vacate_if(id) {
            self.release(index.0 >> PAGE_BITS, 1);
            return Spawned::Ended;
        }
        Spawned::Live
    }

    /// Takes the task `id` out and gives what was known of its origin; `None` if it is not in the table (a
    /// `spawn_blocking` task, one of tokio's own threads, an untracked task, or one of which the spawn is yet to come).
    #[inline]
    pub(crate) fn remove(&self, id: u64) -> Option<(Index, Origin)> {
        match self.find(id) {
            Some((index, entry)) => {
                let origin = entry.origin();
                entry.vacate();
                self.release(index.0 >> PAGE_BITS, 1);
                Some((index, origin))
            }
            None => self.bury(id),
        }
    }

    /// Remembers that a task ended that nobody knows, in case that its spawn is on the way.
    #[cold]
    fn bury(&self, id: u64) -> Option<(Index, Origin)> {
        self.tomb(id).store(id, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let (index, entry) = self.find(id)?;
        if !entry.vacate_if(id) {
            return None;
        }
        // The entry's place is still taken until it is released, so nobody has written over its origin.
        let origin = entry.origin();
        self.release(index.0 >> PAGE_BITS, 1);
        Some((index, origin))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits choose the place")]
    fn tomb(&self, id: u64) -> &AtomicU64 {
        &self.tombs[id as usize % TOMBS]
    }

    /// Gives back the places that a thread has reserved and not used.
    pub(crate) fn give_back(&self, reservation: &Reservation) {
        let left = reservation.left.load(Ordering::Relaxed);
        if left > 0 {
            reservation.left.store(0, Ordering::Relaxed);
            self.release(reservation.page.load(Ordering::Relaxed), left);
        }
    }

    /// Moves a thread's reservation to the page of this number.
    #[cold]
    fn reserve(&self, reservation: &Reservation, number: u64) -> bool {
        self.give_back(reservation);
        let Some(page) = self.join(number).or_else(|| self.open(number)) else { return false };
        reservation.number.store(number, Ordering::Relaxed);
        reservation.page.store(page, Ordering::Relaxed);
        reservation.left.store(PLACES, Ordering::Relaxed);
        true
    }

    /// Reserves places in a page that another thread has opened.
    fn join(&self, number: u64) -> Option<u32> {
        (0..PROBES).find_map(|probe| {
            let word = self.directory[place(number, probe)].load(Ordering::Acquire);
            self.join_page(number, word)
        })
    }

    /// Reserves places in the page of a directory word, if it has this number.
    fn join_page(&self, number: u64, word: u64) -> Option<u32> {
        if !has_number(word, number) {
            return None;
        }
        let index = low(word) - 1;
        let state = &self.page(index)?.state;
        let mut now = state.load(Ordering::Acquire);
        // An empty page is on its way to the free list, or out of it for another number.
        while has_number(now, number) {
            match state.compare_exchange_weak(now, now + u64::from(PLACES), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(newer) => now = newer,
            }
        }
        None
    }

    /// Makes a free page the page of this number, with places reserved; or joins one that another thread opens now.
    fn open(&self, number: u64) -> Option<u32> {
        let index = self.pop().or_else(|| self.grow())?;
        let page = self.page(index)?;
        page.state.store((number << LOW_BITS) | u64::from(PLACES), Ordering::Release);
        let word = (number << LOW_BITS) | u64::from(index + 1);
        let mut joined = None;
        for probe in 0..PROBES {
            let at = place(number, probe);
            match self.directory[at].compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    page.at.store(u32::try_from(at).ok()?, Ordering::Relaxed);
                    return Some(index);
                }
                Err(other) => joined = self.join_page(number, other),
            }
            if joined.is_some() {
                break;
            }
        }
        page.state.store(0, Ordering::Relaxed);
        self.push(index, page);
        joined
    }

    /// Gives `places` of a page back. Whoever gives the last one recycles the page.
    #[inline]
    fn release(&self, index: u32, places: u32) {
        let Some(page) = self.page(index) else { return };
        let before = page.state.fetch_sub(places.into(), Ordering::AcqRel);
        if before & LOW == u64::from(places) {
            self.recycle(index, page);
        }
    }

    #[cold]
    fn recycle(&self, index: u32, page: &Page) {
        self.directory[page.at.load(Ordering::Relaxed) as usize % DIRECTORY].store(0, Ordering::Release);
        self.push(index, page);
    }

    fn push(&self, index: u32, page: &Page) {
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            page.next.store(first(head), Ordering::Relaxed);
            let new = retag(head, index + 1);
            match self.free.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    fn pop(&self) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let index = first(head).checked_sub(1)?;
            // Another thread may have popped it and be using it: then the tag has changed and this is read in vain.
            let next = self.page(index)?.next.load(Ordering::Relaxed);
            match self.free.compare_exchange_weak(head, retag(head, next), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(index),
                Err(newer) => head = newer,
            }
        }
    }

    /// A page that was never used; allocates a chunk for every 64th.
    fn grow(&self) -> Option<u32> {
        let more = |grown: u32| ((grown as usize) < MAX_PAGES).then(|| grown + 1);
        let index = self.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.chunks[index as usize / CHUNK].get_or_set(|| {
            let pages: Box<[Page]> = (0..CHUNK).map(|_| Page::new()).collect();
            pages.try_into().unwrap_or_else(|_| unreachable!("a chunk has as many pages as were made"))
        });
        Some(index)
    }

    /// Copies every task that is in the table from the beginning to the end of the call.
    pub(crate) fn for_each(&self, mut row: impl FnMut(Row)) {
        let grown = self.grown.load(Ordering::Acquire) as usize;
        for chunk in self.chunks[..grown.div_ceil(CHUNK)].iter().filter_map(Once::get) {
            for page in chunk.iter().filter(|page| page.state.load(Ordering::Acquire) & LOW != 0) {
                page.entries.0.iter().filter_map(Entry::read).for_each(&mut row);
            }
        }
    }

    /// Pages that were ever used: they stay allocated.
    pub(crate) fn pages(&self) -> usize {
        self.grown.load(Ordering::Relaxed) as usize
    }

    /// Bytes of the pages and of what finds them.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pages().div_ceil(CHUNK) * CHUNK * size_of::<Page>() + size_of::<Self>()
    }

    /// Tasks that were spawned when there was no room.
    pub(crate) fn untracked(&self) -> u64 {
        self.untracked.load(Ordering::Relaxed)
    }
}

/// The places that a page's number may be in. The first ones of consecutive numbers are consecutive, so that the common
/// case is in the cache; the others are scattered, because a neighbour is as full as the place itself.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the directory is indexed by the lowest bits")]
fn place(number: u64, probe: usize) -> usize {
    if probe == 0 {
        return number as usize % DIRECTORY;
    }
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 24) as usize).wrapping_add(probe.wrapping_mul((mixed >> 40) as usize | 1)) % DIRECTORY
}

/// Whether a directory word or a page's state is of the page of this number, and not empty.
#[inline]
fn has_number(word: u64, number: u64) -> bool {
    (word ^ (number << LOW_BITS)) <= LOW && word & LOW != 0
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "within a page, the lowest bits of the id count")]
fn entry_index(page: u32, id: u64) -> Index {
    Index((page << PAGE_BITS) | (id as u32 % PLACES))
}

#[inline]
fn low(word: u64) -> u32 {
    (word & LOW) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
fn first(head: u64) -> u32 {
    head as u32
}

fn retag(head: u64, first: u32) -> u64 {
    (head >> 32).wrapping_add(1) << 32 | u64::from(first)
}
