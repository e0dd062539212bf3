//! What the hooks allocate in the service's threads once they have warmed up: nothing. A process of its own, because its
//! allocator counts.
#![cfg(tokio_unstable)]
#![expect(unsafe_code, reason = "an allocator that counts what the system's is asked for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use lens_tokio::Builder;
use tokio::runtime::Runtime;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system's allocator's, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tasks that end, that are aborted, and that are polled more than once; all in this thread.
fn work(runtime: &Runtime) {
    const TASKS: usize = 100;
    runtime.block_on(async {
        for _ in 0..100 {
            let tasks: [_; TASKS] = std::array::from_fn(|number| {
                let task = tokio::spawn(async move {
                    for _ in 0..number % 4 {
                        tokio::task::yield_now().await;
                    }
                });
                if number % 10 == 0 {
                    task.abort();
                }
                task
            });
            for task in tasks {
                let _ = task.await;
            }
        }
    });
}

/// How often the thread allocates for the second of two rounds of the same work.
fn allocations(runtime: &Runtime) -> u64 {
    work(runtime);
    let before = ALLOCATIONS.get();
    work(runtime);
    ALLOCATIONS.get() - before
}

fn builder() -> Builder {
    Builder::new_current_thread()
}

#[test]
fn hooks_allocate_nothing_after_warm_up() {
    let plain = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let plain = allocations(&plain);
    assert!(plain >= 10_000, "tokio allocates each task");
    let mut ticker = lens_tokio::ticker();
    ticker.tick();
    assert_eq!(allocations(&builder().build().expect("a runtime")), plain);
    drop(ticker);
    assert_eq!(allocations(&builder().build().expect("a runtime")), plain, "without a clock that ticks");

    // What a hook allocates would be seen.
    let mut with_own = builder();
    with_own.on_after_task_poll(|_| drop(black_box(Box::new(1_u8))));
    assert!(allocations(&with_own.build().expect("a runtime")) > plain);
}
