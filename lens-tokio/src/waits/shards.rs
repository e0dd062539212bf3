//! A map from span ids to entries that many threads write at once. Separate because its locks are the only ones that the
//! service's threads take: a writer holds one shard for one lookup, the reader for one copy of a shard's share, and
//! nobody holds two.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 32;

/// At most `cap` entries, by the id of their span.
pub(super) struct Shards<T> {
    shards: Box<[Shard<T>]>,
    cap: usize,
    dropped: AtomicU64,
}

/// Alone on its cache lines, so that two threads in two shards don't disturb each other.
#[repr(align(128))]
struct Shard<T> {
    inner: Mutex<Inner<T>>,
    /// How many entries there are, to be read without the lock.
    len: AtomicUsize,
}

struct Inner<T> {
    entries: HashMap<u64, T, BuildHasherDefault<SpanHasher>>,
    /// The number of the next entry; unique because each shard steps by [`SHARDS`] from its own first.
    next: u64,
}

impl<T> Shards<T> {
    pub(super) fn new(cap: usize) -> Self {
        let shard = |first| Shard {
            inner: Mutex::new(Inner { entries: HashMap::default(), next: first }),
            len: AtomicUsize::new(0),
        };
        Self { shards: (1..=SHARDS as u64).map(shard).collect(), cap, dropped: AtomicU64::new(0) }
    }

    fn shard(&self, id: u64) -> &Shard<T> {
        // hashbrown takes the lowest bits for the bucket and the top seven for the tag; these are neither.
        let byte = hash(id).to_le_bytes()[5];
        &self.shards[usize::from(byte) % SHARDS]
    }

    /// Adds an entry, or counts it as dropped if its shard is full. `make` gets a number that no other entry had.
    pub(super) fn insert(&self, id: u64, make: impl FnOnce(u64) -> T) {
        let shard = self.shard(id);
        let mut inner = shard.lock();
        if inner.entries.len() >= self.cap / SHARDS && !inner.entries.contains_key(&id) {
            drop(inner);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let number = inner.next;
        inner.next += SHARDS as u64;
        inner.entries.insert(id, make(number));
        shard.len.store(inner.entries.len(), Ordering::Relaxed);
    }

    /// Calls `act` with an entry, if there is one.
    pub(super) fn with<R>(&self, id: u64, act: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.shard(id).lock().entries.get_mut(&id).map(act)
    }

    /// Removes an entry. A shard without entries is not locked: whoever removes an entry has its span, and the span
    /// came to it after the entry was added.
    pub(super) fn remove(&self, id: u64) -> Option<T> {
        let shard = self.shard(id);
        if shard.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut inner = shard.lock();
        let removed = inner.entries.remove(&id);
        shard.len.store(inner.entries.len(), Ordering::Relaxed);
        removed
    }

    /// Removes every entry.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut inner = shard.lock();
            inner.entries.clear();
            shard.len.store(0, Ordering::Relaxed);
        }
    }

    /// Whether an id's shard has no entry at all, so that the id has none.
    pub(super) fn is_surely_absent(&self, id: u64) -> bool {
        self.shard(id).len.load(Ordering::Relaxed) == 0
    }

    /// Calls `see` with every entry, one shard after the other. `see` must be short: the service's threads may wait.
    pub(super) fn each(&self, mut see: impl FnMut(u64, &T)) {
        for shard in &self.shards {
            shard.lock().entries.iter().for_each(|(id, entry)| see(*id, entry));
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len.load(Ordering::Relaxed)).sum()
    }

    /// How many entries there can be.
    pub(super) fn cap(&self) -> usize {
        self.cap
    }

    /// How many found their shard full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The memory that the maps take, without what their entries own.
    pub(super) fn memory_bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(|shard| shard.lock().entries.capacity()).sum();
        size_of::<Shard<T>>() * SHARDS + slots * (size_of::<(u64, T)>() + 1) * 8 / 7
    }
}

impl<T> Shard<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing that runs under the lock panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes a span's id: its bits are a slot, a page, a thread and a generation, so all of them count.
#[derive(Default)]
pub(super) struct SpanHasher(u64);

impl Hasher for SpanHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = hash(self.0 ^ id);
    }
}

/// A folded multiplication: every bit of the id reaches every bit of the hash.
fn hash(id: u64) -> u64 {
    let (low, high) = id.carrying_mul(0x9e37_79b9_7f4a_7c15, 0);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shard_refuses_and_counts() {
        let map = Shards::new(SHARDS);
        for id in 1..=1000 {
            map.insert(id, |number| number);
        }
        assert_eq!(map.len(), SHARDS, "one for each shard");
        assert_eq!(map.dropped(), 1000 - SHARDS as u64);
        let mut numbers = Vec::new();
        map.each(|_, number| numbers.push(*number));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), SHARDS, "every entry has its own number");
    }

    #[test]
    fn what_was_removed_is_gone() {
        let map = Shards::new(SHARDS * 1000);
        for id in 1..=1000 {
            map.insert(id, |_| id);
        }
        for id in 1..=1000 {
            assert_eq!(map.with(id, |entry| *entry), Some(id));
            assert_eq!(map.remove(id), Some(id));
            assert_eq!(map.remove(id), None);
        }
        assert_eq!(map.len(), 0);
        assert!(map.is_surely_absent(7));
    }
}
