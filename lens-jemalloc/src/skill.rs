//! The skill `heap`. Separate because it alone decides when something is read: every second, or when somebody asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lens_core::stack::Symbolize;
use lens_core::{
    About, Check, Functions, Metric, Metrics, OnDemand, Reading, Skill, Source, Store, Timestamp, Unavailable, Unit,
};

use crate::breakdown::Breakdown;
use crate::config::Configuration;
use crate::ffi::{glibc, mallctl};
use crate::functions;
use crate::history::HeapHistory;
use crate::process::{CHeap, ProcessMemory};
use crate::profile::HeapProfiler;
use crate::snapshot::{MutexReader, Reader, Snapshot};
use crate::state::{HeapState, JemallocState};

static ALLOCATED: Metric = Metric::gauge(
    "allocated_bytes",
    Unit::Bytes,
    "Bytes handed out by jemalloc, with what the caches of threads hold.",
);
static LIVE: Metric = Metric::gauge("live_bytes", Unit::Bytes, "Bytes that the service holds.").bad_when_up();
static ACTIVE: Metric = Metric::gauge("active_bytes", Unit::Bytes, "Bytes in pages that hold allocations.");
static RESIDENT: Metric =
    Metric::gauge("resident_bytes", Unit::Bytes, "Bytes of jemalloc's that are in memory at most.").bad_when_up();
static MAPPED: Metric = Metric::gauge("mapped_bytes", Unit::Bytes, "Bytes of address space that jemalloc uses.");
static RETAINED: Metric =
    Metric::gauge("retained_bytes", Unit::Bytes, "Bytes of address space that jemalloc gave back and keeps for later.");
static METADATA: Metric = Metric::gauge("metadata_bytes", Unit::Bytes, "Bytes that jemalloc uses itself.");
static DIRTY: Metric =
    Metric::gauge("dirty_bytes", Unit::Bytes, "Bytes in free pages that were not given back yet.").bad_when_up();
static MUZZY: Metric =
    Metric::gauge("muzzy_bytes", Unit::Bytes, "Bytes in free pages that the kernel may take when it needs them.");
static TCACHE: Metric = Metric::gauge("tcache_bytes", Unit::Bytes, "Bytes that the caches of threads hold.");
static SLAB_WASTE: Metric =
    Metric::gauge("slab_waste_bytes", Unit::Bytes, "Bytes of slabs that hold nothing.").bad_when_up();
static ARENA_ALLOCATED: Metric = Metric::counter(
    "arena_allocated_total",
    Unit::Bytes,
    "Bytes that left the arenas. An allocation that a thread's cache serves does not count: jemalloc adds those up only \
     now and then.",
);
static ARENA_DEALLOCATED: Metric = Metric::counter(
    "arena_deallocated_total",
    Unit::Bytes,
    "Bytes that came back to the arenas. What a thread's cache keeps does not count.",
);
static PURGED_TOTAL: Metric =
    Metric::counter("purged_total", Unit::Bytes, "Bytes of dirty pages that jemalloc gave back.");
static RSS: Metric = Metric::gauge("rss_bytes", Unit::Bytes, "Bytes of the process that are in memory.").bad_when_up();

/// How long glibc's figures are kept before it is asked again.
pub const C_HEAP_INTERVAL: Duration = Duration::from_secs(10);

/// Why the process is as big as it is: jemalloc's figures where it is Rust's global allocator, and the kernel's always.
///
/// # Cost
///
/// Every second some 100 µs on lens's threads with 8 arenas, without allocating. The service's threads wait at most for
/// the locks that jemalloc holds while it adds up an arena.
#[derive(Debug)]
pub struct HeapSkill {
    jemalloc: Reading<Jemalloc>,
    c_heap: Option<Mutex<Option<AskedCHeap>>>,
    profiler: HeapProfiler,
}

/// When glibc was asked, and what it said.
type AskedCHeap = (Instant, Reading<CHeap>);

#[derive(Debug)]
struct Jemalloc {
    reader: Reader,
    mutexes: MutexReader,
    scratch: Mutex<Scratch>,
}

#[derive(Debug, Default)]
struct Scratch {
    snapshot: Snapshot,
    history: HeapHistory,
}

impl Default for HeapSkill {
    fn default() -> Self {
        Self::new()
    }
}

impl HeapSkill {
    /// The skill, which tries at once whether jemalloc is Rust's allocator and remembers the answer.
    #[must_use]
    pub fn new() -> Self {
        let jemalloc =
            Reader::start().map(|reader| Jemalloc { reader, mutexes: MutexReader::new(), scratch: Mutex::default() });
        Self { jemalloc, c_heap: None, profiler: HeapProfiler::default() }
    }

    /// Also asks glibc's allocator how much of its heap is free, when the skill is collected, but not again within
    /// [`C_HEAP_INTERVAL`].
    ///
    /// # Cost
    ///
    /// 0.1 µs while the heap is tidy and 130 ms with 300 000 free chunks, during which every thread that allocates from
    /// it waits. That is why it is off unless it is asked for.
    #[must_use]
    pub fn ask_glibc(mut self) -> Self {
        self.c_heap = Some(Mutex::default());
        self
    }

    /// Has the addresses of heap profiles resolved by `symbols`.
    #[must_use]
    pub fn symbols(self, symbols: Arc<dyn Symbolize>) -> Self {
        self.profiler.set_symbols(symbols);
        self
    }

    /// What reads heap profiles, and switches the sampling that they need.
    #[must_use]
    pub fn profiler(&self) -> HeapProfiler {
        self.profiler.clone()
    }

    fn c_heap(&self) -> Reading<CHeap> {
        let Some(last) = &self.c_heap else {
            return Err(Unavailable::NotEnabled {
                how: "start lens with `Builder::ask_glibc`; it can stop the service's threads for 130 ms".into(),
            });
        };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, reading)) if at.elapsed() < C_HEAP_INTERVAL => reading.clone(),
            _ => last.insert((Instant::now(), glibc::c_heap())).1.clone(),
        }
    }

    /// The name, title and prompt, for a registry that knows the skill but cannot read it.
    #[must_use]
    pub fn describe() -> About {
        About::new("heap", "Heap", "Why the process is as big as it is, and who made it so.").prompt(PROMPT)
    }
}

const PROMPT: &str = "\
Start with heap.diagnose(): it names what makes the process bigger than its live data, in bytes, with the remedy, and \
says `inconclusive` where the figures do not decide. live_bytes is what the service holds; allocated_bytes also counts \
the caches of threads. active_bytes - allocated_bytes is lost inside pages, dirty_bytes are free pages not given back, \
retained_bytes is address space only and costs no memory. heap.profile() names the lines that hold live data, and how much \
each grew: for a leak, sample some minutes and sort by growth. Differences below 10 MiB or 5 % of RSS mean nothing.";

impl Jemalloc {
    fn lock(&self) -> MutexGuard<'_, Scratch> {
        // A snapshot that was left half filled is filled anew by the next reading.
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(&self) -> Reading<JemallocState> {
        let mut scratch = self.lock();
        self.reader.read(&mut scratch.snapshot)?;
        Ok(JemallocState {
            version: mallctl::text(c"version")?.unwrap_or_default().to_owned(),
            classes: self.reader.classes().clone(),
            snapshot: scratch.snapshot.clone(),
            mutexes: self.mutexes.read(self.reader.classes()),
            configuration: Configuration::read(),
            history: scratch.history.clone(),
        })
    }

    fn metrics(&self, out: &mut Metrics) {
        let scratch = &mut *self.lock();
        // A refused reading leaves a gap in every series; `collect` says why.
        if self.reader.read(&mut scratch.snapshot).is_err() {
            return;
        }
        let classes = self.reader.classes();
        scratch.history.push(Timestamp::now(), &scratch.snapshot, classes);
        let totals = &scratch.snapshot.totals;
        let parts = Breakdown::of(&scratch.snapshot, classes);
        out.record(&ALLOCATED, totals.allocated);
        out.record(&LIVE, parts.live);
        out.record(&ACTIVE, totals.active);
        out.record(&RESIDENT, totals.resident);
        out.record(&MAPPED, totals.mapped);
        out.record(&RETAINED, totals.retained);
        out.record(&METADATA, totals.metadata);
        out.record(&DIRTY, parts.dirty);
        out.record(&MUZZY, parts.muzzy);
        out.record(&TCACHE, parts.thread_caches);
        out.record(&SLAB_WASTE, parts.slab_waste);
        let traffic = classes.traffic(&scratch.snapshot);
        out.record(&ARENA_ALLOCATED, traffic.allocated);
        out.record(&ARENA_DEALLOCATED, traffic.deallocated);
        out.record(&PURGED_TOTAL, scratch.snapshot.merged.dirty_purged * classes.page_bytes);
    }
}

impl Skill for HeapSkill {
    type State = HeapState;

    // The kernel walks all pages when it is asked what they are, and a big process has many.
    const MAY_BLOCK: bool = true;

    fn about(&self) -> About {
        Self::describe()
    }

    fn collect(&self) -> Reading<HeapState> {
        let jemalloc = self.jemalloc.as_ref().map_err(Clone::clone).and_then(Jemalloc::collect);
        let profiler = self.profiler();
        let profile = OnDemand::new(move || profiler.read());
        Ok(HeapState { jemalloc, c_heap: self.c_heap(), process: ProcessMemory::read(), profile })
    }

    fn functions(to: Functions<HeapState>) -> Functions<HeapState> {
        functions::add(to)
    }

    fn metrics(&self, out: &mut Metrics) {
        out.record_reading(&RSS, ProcessMemory::read_status().map(|memory| memory.rss_bytes));
        if let Ok(jemalloc) = &self.jemalloc {
            jemalloc.metrics(out);
        }
    }

    fn sources(&self) -> Vec<Source> {
        vec![
            Source::live("jemalloc", "Every byte of Rust's heap, by size class, arena and use.", "0.01 % of a core")
                .when(&self.jemalloc),
            Source::live("/proc/self/status", "The process's memory by kind.", "20 µs a second")
                .when(&ProcessMemory::read_status()),
            Source::live(
                "mallinfo2",
                "How much of the C library's heap is free.",
                "up to 130 ms of its locks, when asked",
            )
            .when(&self.c_heap()),
            Source::live(
                "prof.dump",
                "Who holds the heap's bytes: the lines that allocated them.",
                "2 to 3 ns an allocation; while it samples, 0.6 % of a core for each GB/s that is allocated",
            )
            .when(&self.profiler.availability()),
        ]
    }

    fn stores(&self) -> Vec<Store> {
        let mut stores: Vec<Store> = self.jemalloc.iter().map(|jemalloc| jemalloc.lock().history.store()).collect();
        stores.extend(self.profiler.stores());
        stores
    }

    fn checks() -> &'static [Check] {
        const {
            &[
                Check::new("fragmentation", include_str!("checks/fragmentation.star")),
                Check::new("fragmentation_place", include_str!("checks/fragmentation_place.star")),
                Check::new("heap_leak", include_str!("checks/heap_leak.star")),
                Check::new("heap_leak_place", include_str!("checks/heap_leak_place.star")),
                Check::new("queue_growth", include_str!("checks/queue_growth.star")),
            ]
        }
    }
}
