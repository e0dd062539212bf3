//! The decision procedure: every part of the memory in bytes, the largest first. Separate because it is a pure function of
//! a state, an instant and a growth.

use lens_core::Timestamp;
use lens_core::numbers::total;

use super::cause::{CauseRow, HeapCause};
use super::dirty::Dirty;
use super::growth::Growth;
use super::{Diagnosis, Undecided, Verdict};
use crate::breakdown::{Breakdown, product};
use crate::functions::share;
use crate::process::ProcessMemory;
use crate::state::{HeapState, JemallocState};

/// Bytes below which nothing is judged. Less finds waste in every small process, where a few pages are many per cent.
pub const FLOOR_BYTES: u64 = 10 << 20;

/// The share of the process's memory, in per cent, below which nothing is judged.
pub const FLOOR_PERCENT: u64 = 5;

/// Files and shared memory are ordinary up to here: a program is itself a file.
const FILES_FLOOR_BYTES: u64 = 64 << 20;

/// The share of what was allocated, in per cent, that slabs and caches of threads may hold unused.
const UNUSED_PERCENT: u64 = 10;

/// The share of what jemalloc counts as resident, in per cent, that may be untouched: it sets pages aside beside large
/// blocks.
const UNTOUCHED_PERCENT: u64 = 20;

pub(super) fn judge(state: &HeapState, now: Timestamp, growth: &Growth) -> Diagnosis {
    let memory = state.process.as_ref().ok();
    let rss = memory.map(|memory| memory.rss_bytes);
    let resident = state.jemalloc.as_ref().map_or(0, |jemalloc| jemalloc.snapshot.totals.resident);
    let part = product(rss.unwrap_or(resident), FLOOR_PERCENT) / 100;
    let floor = FLOOR_BYTES.max(u64::try_from(part).unwrap_or(u64::MAX));
    let mut found = Found { rss, floor, causes: Vec::new(), undecided: Vec::new() };
    match &state.jemalloc {
        Ok(jemalloc) => found.jemalloc(jemalloc, memory, now),
        Err(reason) => found.undecided.push(Undecided {
            question: "What Rust's heap holds and wastes is not known.".to_owned(),
            decided_by: reason.to_string(),
        }),
    }
    if let Some(memory) = memory {
        found.files(memory);
    }
    if let Ok(heap) = &state.c_heap {
        let evidence = format!(
            "glibc's allocator holds {}, of which {} are free chunks",
            mib(heap.held_bytes),
            mib(heap.free_bytes),
        );
        found.add(HeapCause::FreeChunks, heap.free_bytes, evidence, CHUNKS_REMEDY);
    }
    found.growth(state, growth);
    let live = state.jemalloc.as_ref().map(|jemalloc| Breakdown::of(&jemalloc.snapshot, &jemalloc.classes).live);
    found.conclude(state, live.ok())
}

struct Found {
    rss: Option<u64>,
    floor: u64,
    causes: Vec<CauseRow>,
    undecided: Vec<Undecided>,
}

impl Found {
    /// Adds a cause if its bytes are worth a word.
    fn add(&mut self, cause: HeapCause, bytes: u64, evidence: String, remedy: &str) {
        if bytes < self.floor {
            return;
        }
        self.causes.push(CauseRow {
            cause,
            bytes,
            rss_ratio: self.rss.and_then(|rss| share(bytes, rss)),
            is_in_memory: cause != HeapCause::UntouchedPages,
            evidence,
            remedy: remedy.to_owned(),
        });
    }

    fn jemalloc(&mut self, state: &JemallocState, memory: Option<&ProcessMemory>, now: Timestamp) {
        let parts = Breakdown::of(&state.snapshot, &state.classes);
        let allocated = state.snapshot.totals.allocated;
        let is_many = |bytes: u64| product(bytes, 100) > product(allocated, UNUSED_PERCENT);
        if is_many(parts.slab_waste) {
            self.add(HeapCause::SparseSlabs, parts.slab_waste, sparse(state, &parts), SPARSE_REMEDY);
        }
        if is_many(parts.thread_caches) {
            self.add(HeapCause::ThreadCaches, parts.thread_caches, caches(state, &parts), CACHES_REMEDY);
        }
        if is_many(parts.large_padding) {
            self.add(HeapCause::LargePadding, parts.large_padding, padding(state, &parts), PADDING_REMEDY);
        }
        if product(parts.metadata, 100) > product(parts.resident, UNUSED_PERCENT) {
            self.add(HeapCause::Metadata, parts.metadata, metadata(state, &parts), METADATA_REMEDY);
        }
        self.dirty(state, &Dirty::of(state, now));
        match memory {
            Some(memory) => self.kernel(state, &parts, memory),
            None => self.undecided.push(Undecided {
                question: "Whether there is memory beside jemalloc's is not known.".to_owned(),
                decided_by: "a readable /proc/self/status".to_owned(),
            }),
        }
    }

    fn dirty(&mut self, state: &JemallocState, dirty: &Dirty) {
        let background = state.configuration.has_background_threads;
        let remedy = if background { DIRTY_REMEDY_BACKGROUND } else { DIRTY_REMEDY };
        if dirty.idle.len() > 1 {
            let evidence = format!(
                "{} in free pages of the arenas {}, from which nothing was allocated or freed for {} while {} arenas exist",
                mib(dirty.idle_bytes),
                list(&dirty.idle),
                seconds(dirty.span_ms),
                state.snapshot.arenas.len(),
            );
            self.add(
                HeapCause::IdleArenas,
                dirty.idle_bytes,
                evidence,
                if background { remedy } else { ARENAS_REMEDY },
            );
        }
        let alone = if dirty.idle.len() == 1 { dirty.idle_bytes } else { 0 };
        let stays = dirty.stays_bytes.saturating_add(alone);
        let arenas: Vec<u64> =
            if alone > 0 { [&dirty.stays[..], &dirty.idle[..]].concat() } else { dirty.stays.clone() };
        let evidence = format!(
            "{} in free pages of the arenas {} were not given back for {}, twice their decay time",
            mib(stays),
            list(&arenas),
            seconds(dirty.span_ms),
        );
        self.add(HeapCause::UndecayedDirty, stays, evidence, remedy);
        let evidence = format!("{} in free pages are kept: dirty_decay_ms is -1", mib(dirty.kept_bytes));
        self.add(HeapCause::UndecayedDirty, dirty.kept_bytes, evidence, "Set `dirty_decay_ms`, for example to 10000.");
        if dirty.open_bytes >= self.floor {
            self.undecided.push(Undecided {
                question: format!("{} in free pages may still be given back.", mib(dirty.open_bytes)),
                decided_by: format!("watching them for {} after they were freed", seconds(dirty.span_ms)),
            });
        }
    }

    /// What the kernel's count adds.
    fn kernel(&mut self, state: &JemallocState, parts: &Breakdown, memory: &ProcessMemory) {
        let compared = parts.in_memory(memory);
        let evidence = format!(
            "{} in free pages were offered to the kernel with MADV_FREE and are still in memory; muzzy_decay_ms is {}",
            mib(compared.muzzy),
            state.configuration.value("muzzy_decay_ms").unwrap_or("not known"),
        );
        self.add(HeapCause::Muzzy, compared.muzzy, evidence, MUZZY_REMEDY);
        let huge = memory.walked.as_ref().map_or(0, |walked| walked.huge_page_bytes);
        let evidence = format!(
            "{} of anonymous memory beyond the {} that jemalloc has in memory at most; {} threads have stacks; {} are in huge pages",
            mib(compared.foreign),
            mib(parts.resident),
            memory.thread_count,
            mib(huge),
        );
        // Pages that jemalloc gave back come back to life when the kernel makes a huge page around them.
        if state.configuration.value("thp") == Some("always") && huge >= compared.foreign {
            self.add(HeapCause::HugePages, compared.foreign, evidence, HUGE_REMEDY);
        } else {
            self.add(HeapCause::ForeignMemory, compared.foreign, evidence, FOREIGN_REMEDY);
        }
        if product(compared.untouched, 100) >= product(parts.resident, UNTOUCHED_PERCENT) {
            let evidence = format!(
                "jemalloc counts {} as resident, the kernel finds {} in memory and {} in swap",
                mib(parts.resident),
                mib(memory.anonymous_bytes),
                mib(memory.swap_bytes),
            );
            self.add(HeapCause::UntouchedPages, compared.untouched, evidence, UNTOUCHED_REMEDY);
        }
    }

    fn files(&mut self, memory: &ProcessMemory) {
        if memory.file_bytes >= FILES_FLOOR_BYTES {
            let evidence = format!("{} of what is in memory are pages of files", mib(memory.file_bytes));
            self.add(HeapCause::FilePages, memory.file_bytes, evidence, FILES_REMEDY);
        }
        if memory.shared_bytes >= FILES_FLOOR_BYTES {
            let evidence = format!("{} of what is in memory are shared", mib(memory.shared_bytes));
            self.add(HeapCause::SharedMemory, memory.shared_bytes, evidence, SHARED_REMEDY);
        }
    }

    fn growth(&mut self, state: &HeapState, growth: &Growth) {
        let of = if state.jemalloc.is_ok() { "live data" } else { "the process" };
        match growth {
            Growth::Bounded => {}
            Growth::TooShort => self.undecided.push(Undecided {
                question: format!("Whether {of} grows without end."),
                decided_by: "a minute of recording".to_owned(),
            }),
            Growth::Slowing => self.undecided.push(Undecided {
                question: format!("Whether {of} stops to grow: it grows ever slower, as a cache does that fills up."),
                decided_by: "time".to_owned(),
            }),
            Growth::Steady(steady) => match &state.jemalloc {
                Ok(jemalloc) => {
                    let evidence = format!(
                        "live data grew by {} in {:.0} s and never fell back; {}",
                        mib(steady.bytes),
                        steady.seconds,
                        growing_classes(jemalloc),
                    );
                    self.add(HeapCause::Leak, steady.bytes, evidence, LEAK_REMEDY);
                }
                Err(reason) if steady.bytes >= self.floor => self.undecided.push(Undecided {
                    question: format!(
                        "Whether it is a leak or fragmentation: the process grew by {} in {:.0} s and never shrank.",
                        mib(steady.bytes),
                        steady.seconds
                    ),
                    decided_by: reason.to_string(),
                }),
                Err(_) => {}
            },
        }
    }

    fn conclude(mut self, state: &HeapState, live: Option<u64>) -> Diagnosis {
        self.causes.sort_by_key(|cause| std::cmp::Reverse((cause.is_in_memory, cause.bytes)));
        let rss = self.rss.map_or_else(|| "an unknown amount".to_owned(), mib);
        let live_text = live.map_or_else(|| "an unknown part".to_owned(), mib);
        let (verdict, summary) = match (self.causes.first(), self.undecided.is_empty()) {
            (Some(worst), _) => {
                (Verdict::Found, format!("{rss} are in memory, {live_text} of it live data: {}.", worst.evidence))
            }
            (None, true) => (
                Verdict::Healthy,
                format!(
                    "{rss} are in memory, {live_text} of it live data; nothing else takes {} or more.",
                    mib(self.floor)
                ),
            ),
            (None, false) => (
                Verdict::Inconclusive,
                format!(
                    "{rss} are in memory, {live_text} of it live data; nothing is found yet, but questions are open."
                ),
            ),
        };
        Diagnosis {
            verdict,
            cause: self.causes.first().map(|worst| worst.cause),
            summary,
            rss_bytes: state.process.as_ref().map(|memory| memory.rss_bytes).map_err(Clone::clone).into(),
            live_bytes: state.jemalloc.as_ref().map(|_| live.unwrap_or_default()).map_err(Clone::clone).into(),
            causes: self.causes,
            undecided: self.undecided,
            floor_bytes: self.floor,
        }
    }
}

fn sparse(state: &JemallocState, parts: &Breakdown) -> String {
    let pairs = state.snapshot.bins.iter().zip(&state.classes.small);
    let worst = pairs.max_by_key(|(bin, class)| class.waste_bytes(bin));
    let worst = worst.map(|(bin, class)| {
        format!(
            "; most of it in slabs of {} B regions, where {} of {} regions are used",
            class.size,
            bin.curregs,
            class.regions(bin)
        )
    });
    format!("{} of slabs hold nothing{}", mib(parts.slab_waste), worst.unwrap_or_default())
}

fn caches(state: &JemallocState, parts: &Breakdown) -> String {
    format!(
        "{} of the {} that are allocated lie free in the caches of {} threads; tcache_max is {}",
        mib(parts.thread_caches),
        mib(state.snapshot.totals.allocated),
        state.snapshot.merged.nthreads,
        state.configuration.value("tcache_max").unwrap_or("not known"),
    )
}

fn padding(state: &JemallocState, parts: &Breakdown) -> String {
    let blocks = total(state.snapshot.large.iter().map(|large| large.readings.curlextents));
    format!("{} are lost because each of {blocks} large blocks has a page more than it needs", mib(parts.large_padding))
}

fn metadata(state: &JemallocState, parts: &Breakdown) -> String {
    format!("jemalloc uses {} itself, for {} arenas", mib(parts.metadata), state.snapshot.arenas.len())
}

/// The size classes that grew most over the last minute.
fn growing_classes(state: &JemallocState) -> String {
    let points = (state.history.seconds.front(), state.history.seconds.back());
    let (Some(first), Some(last)) = points else { return "no size class was watched yet".to_owned() };
    let pairs = state.classes.small.iter().zip(first.small_bytes.iter().zip(&last.small_bytes));
    let mut grown: Vec<(String, u64)> = pairs
        .map(|(class, (before, after))| (format!("{} B", class.size), after.saturating_sub(*before)))
        .chain([("large blocks".to_owned(), last.large_bytes.saturating_sub(first.large_bytes))])
        .filter(|&(_, grown)| grown > 0)
        .collect();
    grown.sort_by_key(|&(_, grown)| std::cmp::Reverse(grown));
    let most: Vec<String> = grown.iter().take(3).map(|(class, grown)| format!("{class} by {}", mib(*grown))).collect();
    if most.is_empty() {
        "no size class grew over the last minute".to_owned()
    } else {
        format!("over the last minute most grew {}", most.join(", "))
    }
}

#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn seconds(ms: u64) -> String {
    format!("{} s", ms.div_ceil(1000))
}

fn list(indices: &[u64]) -> String {
    indices.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

const LEAK_REMEDY: &str = "Take a heap profile twice and compare (heap.profile()), and see which tasks allocate and keep: \
    tasks.top(by=\"allocated\"). Look for maps, caches and channels without a bound.";
const SPARSE_REMEDY: &str = "Long-lived small blocks lie between freed ones. Allocate what lives long in a batch of its own, or \
    keep the peak lower; after a peak only a restart gives slabs back. Decay settings do not help.";
const CACHES_REMEDY: &str =
    "Use fewer threads, or end idle ones; or set `tcache_max:4096` (or lower `lg_tcache_nslots_mul`).";
const PADDING_REMEDY: &str =
    "Set `cache_oblivious:false`, or use buffers of at most 14 KiB or of 64 KiB and more instead of 16 KiB.";
const METADATA_REMEDY: &str =
    "Set `narenas` to about the CPUs that the process may use; heap profiling also takes metadata.";
const DIRTY_REMEDY: &str = "Nothing makes the arena give pages back while it is not allocated from. Set `background_thread:true` \
    (memory falls some 10 s plus the decay time later), or a shorter `dirty_decay_ms`.";
const DIRTY_REMEDY_BACKGROUND: &str = "Background threads are on and have not given the pages back: see heap.decay() for what \
    they did, and set a shorter `dirty_decay_ms`.";
const ARENAS_REMEDY: &str = "Set `background_thread:true`, or `narenas` to about the CPUs that the process may use: jemalloc \
    makes 4 for each CPU of the machine, whatever the cgroup's quota.";
const MUZZY_REMEDY: &str = "Set `muzzy_decay_ms:0` (the default), which gives pages back instead of offering them. The kernel takes \
    offered pages when memory is short, so they do no harm.";
const HUGE_REMEDY: &str = "Set `thp:default` or `thp:never`: the kernel fills huge pages that jemalloc uses in part.";
const FOREIGN_REMEDY: &str = "It is not in Rust's heap: C libraries (their malloc is another one), mmap, thread stacks. \
    /proc/PID/smaps says which mappings; fewer threads need fewer stacks.";
const CHUNKS_REMEDY: &str = "glibc keeps free chunks below used ones. Set MALLOC_ARENA_MAX=2 or call malloc_trim(0) after a peak, \
    or make jemalloc the global allocator.";
const FILES_REMEDY: &str =
    "The kernel drops pages of files when memory is short. Map less, or advise it with MADV_DONTNEED.";
const SHARED_REMEDY: &str = "Shared mappings and files in tmpfs count as memory: look for them in /proc/PID/smaps.";
const UNTOUCHED_REMEDY: &str = "None is needed: memory that was never touched costs address space only. It will be in memory \
    once it is used.";
