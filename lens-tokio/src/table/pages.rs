//! Where the live tasks are: pages of 16 consecutive ids, found through a directory, recycled when they are empty.
//! Separate because it is the lock-free protocol that loom explores; see the [module above](super) for its argument.

mod link;
mod page;

use crate::sync::{AtomicU32, AtomicU64, Once, Ordering, array_of, const_fn, fence, prefetch_for_write};

use super::entry::{Entry, Hot, Last, Origin};
use super::freed::Freed;
use link::Link;
use page::Page;

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
pub(crate) const CHUNK: usize = 64;
#[cfg(loom)]
pub(crate) const CHUNK: usize = 1;
pub(crate) const CHUNKS: usize = MAX_PAGES / CHUNK;

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

/// The places of pages that one thread holds, so that a spawn or an end needs no locked instruction for the page. It has
/// reserved one for each id of the page that it spawns into, and it gives those of ended tasks back page by page. Both
/// keep a page from being recycled, so a thread may pin two. Written by one thread.
#[derive(Debug)]
pub(crate) struct Places {
    /// The number of the page that is spawned into.
    number: AtomicU64,
    page: Link,
    reserved: AtomicU32,
    ended: AtomicU32,
    ended_page: Link,
}

impl Places {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self {
                number: AtomicU64::new(0),
                page: Link::new(),
                reserved: AtomicU32::new(0),
                ended: AtomicU32::new(0),
                ended_page: Link::new(),
            }
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
    /// The pages by their numbers. Which number a page has it says itself.
    directory: [Link; DIRECTORY],
    freed: Freed,
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
                directory: array_of![Link::new(); DIRECTORY],
                freed: Freed::new(),
                tombs: array_of![AtomicU64::new(0); TOMBS],
                free: AtomicU64::new(0),
                grown: AtomicU32::new(0),
                untracked: AtomicU64::new(0),
            }
        }
    }

    /// The entry of the live task `id`.
    #[inline]
    pub(crate) fn find(&self, id: u64) -> Option<Entry<'_>> {
        self.find_page(id).map(|page| page.entry(id, &self.freed))
    }

    /// What a poll needs of the live task `id`, if it is where nearly all are.
    #[inline]
    pub(crate) fn find_first(&self, id: u64) -> Option<&Hot> {
        let hot = self.directory[place(id >> PAGE_BITS, 0)].get(self)?.hot(id);
        // The poll will be counted there, and the last one may have been another thread's.
        prefetch_for_write(hot);
        hot.is(id).then_some(hot)
    }

    #[inline]
    fn find_page(&self, id: u64) -> Option<&Page> {
        match self.look(id, 0) {
            None => self.find_page_further(id),
            found => found,
        }
    }

    #[cold]
    fn find_page_further(&self, id: u64) -> Option<&Page> {
        (1..PROBES).find_map(|probe| self.look(id, probe))
    }

    /// The page at one of its places, if the task is in it: which is all that counts, whatever the page's number is by
    /// now.
    #[inline]
    fn look(&self, id: u64, probe: usize) -> Option<&Page> {
        let page = self.directory[place(id >> PAGE_BITS, probe)].get(self)?;
        page.hot(id).is(id).then_some(page)
    }

    /// Adds the task `id`, of which the first polls are measured.
    pub(crate) fn insert(&self, places: &Places, id: u64, parent: u64, origin: Origin, measured: u8) -> Spawned {
        let number = id >> PAGE_BITS;
        let is_reserved =
            places.number.load(Ordering::Relaxed) == number && places.reserved.load(Ordering::Relaxed) > 0;
        if !is_reserved && !self.reserve(places, number) {
            self.untracked.fetch_add(1, Ordering::Relaxed);
            return Spawned::Untracked;
        }
        let Some(page) = places.page.get(self) else { return Spawned::Untracked };
        let entry = page.entry(id, &self.freed);
        entry.occupy(id, parent, origin, measured);
        // One of the reserved places is the task's now; its end gives it back.
        places.reserved.store(places.reserved.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        // The other half of `bury`: either we see the tomb, or the thread that dug it sees the entry.
        if self.tomb(id).load(Ordering::SeqCst) == id && entry.hot.vacate_if(id) {
            self.end(places, page);
            return Spawned::Ended;
        }
        Spawned::Live
    }

    /// Takes the task `id` out and gives what is known of it; `None` if it is not in the table (a `spawn_blocking` task, one
    /// of tokio's own threads, an untracked task, or one of which the spawn is yet to come).
    #[inline]
    pub(crate) fn remove(&self, places: &Places, id: u64) -> Option<Last> {
        let (page, last) = match self.find_page(id) {
            Some(page) => {
                let task = page.hot(id);
                let last = task.last();
                task.vacate();
                (page, last)
            }
            None => self.bury(id)?,
        };
        self.end(places, page);
        Some(last)
    }

    /// Remembers that a task ended that nobody knows, in case that its spawn is on the way.
    #[cold]
    fn bury(&self, id: u64) -> Option<(&Page, Last)> {
        self.tomb(id).store(id, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let page = self.find_page(id)?;
        let task = page.hot(id);
        // The entry's place stays taken until it is given back, so nobody writes over its origin.
        task.vacate_if(id).then(|| (page, task.last()))
    }

    /// Adds a thread's tally to the polls of the task `id`; gives whether it is still live.
    #[cold]
    pub(crate) fn add_tally(&self, id: u64, polls: u64, last_poll_ms: u64) -> bool {
        // The page of a live task is never empty. Once it is joined, the task's entry is given to no other.
        let Some(page) = self.find_page(id).filter(|page| page.join(id >> PAGE_BITS)) else { return false };
        let is_live = page.hot(id).is(id) && page.hot(id).add_tally(polls, last_poll_ms);
        self.release(page, PLACES);
        is_live
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits choose the place")]
    fn tomb(&self, id: u64) -> &AtomicU64 {
        &self.tombs[id as usize % TOMBS]
    }

    /// A task of this page ended: its place will be given back with others.
    #[inline]
    fn end(&self, places: &Places, page: &Page) {
        if places.ended_page.is(page) {
            places.ended.store(places.ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            self.give_back_ended(places);
            places.ended_page.set(page);
            places.ended.store(1, Ordering::Relaxed);
        }
    }

    /// Gives back all the places that a thread holds.
    pub(crate) fn give_back(&self, places: &Places) {
        self.give_back_reserved(places);
        self.give_back_ended(places);
    }

    #[cold]
    fn give_back_reserved(&self, places: &Places) {
        let reserved = places.reserved.load(Ordering::Relaxed);
        places.reserved.store(0, Ordering::Relaxed);
        if let Some(page) = places.page.get(self).filter(|_| reserved > 0) {
            self.release(page, reserved);
        }
    }

    #[cold]
    fn give_back_ended(&self, places: &Places) {
        let ended = places.ended.load(Ordering::Relaxed);
        places.ended.store(0, Ordering::Relaxed);
        if let Some(page) = places.ended_page.get(self).filter(|_| ended > 0) {
            self.release(page, ended);
        }
    }

    /// Moves a thread's reserved places to the page of this number.
    #[cold]
    fn reserve(&self, places: &Places, number: u64) -> bool {
        self.give_back_reserved(places);
        let Some(page) = self.join(number).or_else(|| self.open(number)) else { return false };
        places.number.store(number, Ordering::Relaxed);
        places.page.set(page);
        places.reserved.store(PLACES, Ordering::Relaxed);
        true
    }

    /// Reserves places in a page that another thread has opened. If the page's first place is empty, nobody looks
    /// further: there is hardly ever such a page elsewhere, and a second one of its number is as good.
    fn join(&self, number: u64) -> Option<&Page> {
        let first = self.directory[place(number, 0)].get(self)?;
        if first.join(number) {
            return Some(first);
        }
        (1..PROBES).find_map(|probe| self.directory[place(number, probe)].get(self).filter(|page| page.join(number)))
    }

    /// Makes a free page the page of this number, with places reserved; or joins one that another thread opens now.
    fn open(&self, number: u64) -> Option<&Page> {
        let page = self.pop().or_else(|| self.grow())?;
        page.state().store(page::opened(number), Ordering::Release);
        let mut joined = None;
        for probe in 0..PROBES {
            let at = place(number, probe);
            match self.directory[at].set_if_empty(page, self) {
                Ok(()) => {
                    page.at().store(at as u64, Ordering::Relaxed);
                    return Some(page);
                }
                Err(other) => joined = other.filter(|other| other.join(number)),
            }
            if joined.is_some() {
                break;
            }
        }
        page.state().store(0, Ordering::Relaxed);
        self.push(page);
        joined
    }

    /// Gives places of a page back. Whoever gives the last one recycles the page.
    fn release(&self, page: &Page, places: u32) {
        let before = page.state().fetch_sub(places.into(), Ordering::AcqRel);
        if page::count(before) == u64::from(places) {
            self.directory[index(page.at().load(Ordering::Relaxed))].clear();
            self.push(page);
        }
    }

    fn push(&self, page: &Page) {
        let index = first(page.index().load(Ordering::Relaxed));
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            page.next().store(first(head).into(), Ordering::Relaxed);
            match self.free.compare_exchange_weak(head, retag(head, index + 1), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(newer) => head = newer,
            }
        }
    }

    fn pop(&self) -> Option<&Page> {
        let mut head = self.free.load(Ordering::Acquire);
        loop {
            let page = self.page(first(head).checked_sub(1)?)?;
            // Another thread may have popped it and be using it: then the tag has changed and this is read in vain.
            let next = first(page.next().load(Ordering::Relaxed));
            match self.free.compare_exchange_weak(head, retag(head, next), Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(page),
                Err(newer) => head = newer,
            }
        }
    }

    /// A page that was never used; allocates a chunk for every 64th.
    fn grow(&self) -> Option<&Page> {
        let more = |grown: u32| ((grown as usize) < MAX_PAGES).then(|| grown + 1);
        let index = self.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.chunks[index as usize / CHUNK].get_or_set(|| {
            let pages: Box<[Page]> = (0..CHUNK).map(|_| Page::new()).collect();
            pages.try_into().unwrap_or_else(|_| unreachable!("a chunk has as many pages as were made"))
        });
        let page = self.page(index)?;
        page.index().store(index.into(), Ordering::Relaxed);
        Some(page)
    }

    fn page(&self, index: u32) -> Option<&Page> {
        Some(&self.chunks[index as usize / CHUNK % CHUNKS].get()?[index as usize % CHUNK])
    }

    /// The entries of all tasks that are in the table from the beginning to the end of the call, and empty ones.
    pub(crate) fn for_each<'a>(&'a self, mut entry: impl FnMut(Entry<'a>)) {
        let grown = self.grown.load(Ordering::Acquire) as usize;
        for chunk in self.chunks[..grown.div_ceil(CHUNK)].iter().filter_map(Once::get) {
            for page in chunk.iter().filter(|page| page::count(page.state().load(Ordering::Acquire)) != 0) {
                page.entries(&self.freed).for_each(&mut entry);
            }
        }
    }

    /// Pages that were ever used: they stay allocated.
    pub(crate) fn pages(&self) -> usize {
        self.grown.load(Ordering::Relaxed) as usize
    }

    /// Bytes of the pages and of what finds them.
    pub(crate) fn memory_bytes(&self) -> usize {
        let chunks = self.pages().div_ceil(CHUNK);
        chunks * CHUNK * size_of::<Page>() + self.freed.memory_bytes() + size_of::<Self>()
    }

    /// Tasks that were spawned when there was no room.
    pub(crate) fn untracked(&self) -> u64 {
        self.untracked.load(Ordering::Relaxed)
    }
}

/// The places that a page's number may be in. The first ones of consecutive numbers are consecutive, so that the common
/// case is in the cache; the others are scattered, because a neighbour is as full as the place itself.
#[inline]
fn place(number: u64, probe: usize) -> usize {
    if probe == 0 {
        return index(number);
    }
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 24) as usize).wrapping_add(probe.wrapping_mul((mixed >> 40) as usize | 1)) % DIRECTORY
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the directory is indexed by the lowest bits")]
fn index(place: u64) -> usize {
    place as usize % DIRECTORY
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
fn first(head: u64) -> u32 {
    head as u32
}

fn retag(head: u64, first: u32) -> u64 {
    (head >> 32).wrapping_add(1) << 32 | u64::from(first)
}
