//! Faults of memory that is taken and not given back.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use tokio::time;

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};

const KEPT: Place = here!("heap_leak" in "memory.rs");
const KEEPER: Place = here!("heap_leak task" in "memory.rs");
const CACHED: Place = here!("cache_without_eviction" in "memory.rs");
const CACHER: Place = here!("cache_without_eviction task" in "memory.rs");
const SCATTERED: Place = here!("fragmentation" in "memory.rs");
const SCATTERER: Place = here!("fragmentation task" in "memory.rs");
const CHURNED: Place = here!("alloc_churn" in "memory.rs");
const CHURNER: Place = here!("alloc_churn task" in "memory.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "heap_leak",
        about: "blocks of memory are kept that nobody needs",
        truth: Truth::new(Cause::HeapLeak, KEPT).spawned_at(&[KEEPER]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: Some(Bound::new(500, 5_000)),
        count: Bound::new(50_000, 65_536),
        unit: "blocks of 4096 bytes",
        start: |context| drop(tokio::spawn(leak_memory(context))), // here: heap_leak task
    },
    Fault {
        name: "cache_without_eviction",
        about: "a cache keeps what nobody will ask for again",
        truth: Truth::new(Cause::HeapLeak, CACHED).spawned_at(&[CACHER]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: Some(Bound::new(500, 5_000)),
        count: Bound::new(50_000, 65_536),
        unit: "entries of 4096 bytes",
        start: |context| drop(tokio::spawn(cache_pages(context))), // here: cache_without_eviction task
    },
    Fault {
        name: "fragmentation",
        about: "of many small blocks, every sixteenth is kept: one in each page, which cannot be given back",
        truth: Truth::new(Cause::Fragmentation, SCATTERED).spawned_at(&[SCATTERER]),
        removable: true,
        seconds: Bound::new(600, 3_600),
        rate: None,
        count: Bound::new(400_000, 1_000_000),
        unit: "blocks of 256 bytes that were allocated",
        start: |context| drop(tokio::spawn(scatter(context))), // here: fragmentation task
    },
    Fault {
        name: "alloc_churn",
        about: "memory is allocated only to be freed at once, again and again",
        truth: Truth::new(Cause::AllocChurn, CHURNED).spawned_at(&[CHURNER]),
        removable: true,
        seconds: Bound::new(300, 3_600),
        rate: Some(Bound::new(100_000, 1_000_000)),
        count: Bound::new(u32::MAX as u64, u32::MAX as u64),
        unit: "allocations of 4096 bytes",
        start: |context| drop(tokio::spawn(churn(context))), // here: alloc_churn task
    },
];

/// The size of a block, in bytes.
const BLOCK: usize = 4_096;

/// The size of a block that is kept alone in its page, in bytes.
const SMALL_BLOCK: usize = 256;

/// How many small blocks are in a page.
const SMALL_BLOCKS_IN_PAGE: usize = 16;

/// After how many small blocks other tasks get their turn.
const SMALL_BLOCKS_AT_ONCE: usize = 5_000;

async fn leak_memory(context: Context) {
    let mut receipts = Vec::new();
    let keep = || {
        receipts.push(vec![0xa5_u8; BLOCK]); // here: heap_leak
        true
    };
    context.pace(keep).await;
}

async fn cache_pages(context: Context) {
    let mut pages = HashMap::new();
    let mut session = 0_u64;
    let render = || {
        session += 1;
        pages.insert(session, vec![0xa5_u8; BLOCK]); // here: cache_without_eviction
        true
    };
    context.pace(render).await;
}

async fn scatter(context: Context) {
    let (mut kept, mut passing) = (Vec::new(), Vec::new());
    let count = usize::try_from(context.count()).unwrap_or(usize::MAX);
    for number in 0..count {
        let block = vec![0xa5_u8; SMALL_BLOCK]; // here: fragmentation
        let list = if number % SMALL_BLOCKS_IN_PAGE == 0 { &mut kept } else { &mut passing };
        list.push(block);
        context.add();
        if number % SMALL_BLOCKS_AT_ONCE == 0
            && context.until_over(time::sleep(Duration::from_millis(2))).await.is_none()
        {
            return;
        }
    }
    drop(passing);
    context.over().await;
}

async fn churn(context: Context) {
    let render = || {
        black_box(vec![0xa5_u8; BLOCK]); // here: alloc_churn
        true
    };
    context.pace(render).await;
}
