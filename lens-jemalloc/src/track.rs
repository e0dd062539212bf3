//! What one future allocates: a request, a job. Separate because it needs neither tokio's hooks nor jemalloc's statistics.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lens_core::{Allocations, Tracked, Unavailable};
use pin_project_lite::pin_project;

use crate::ffi::thread::ThreadCounters;

pin_project! {
    /// A future that counts what another allocates: see [`track_allocations`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct TrackAllocations<F> {
        #[pin]
        future: Option<F>,
        counted: Allocations,
        is_counted: bool,
    }
}

/// Counts what `future` allocates and frees while it is polled, and when it is dropped at its end: the bytes of a request, on
/// any flavour of tokio and on other runtimes.
///
/// Not counted is what the future has others do: tasks that it spawns, blocking closures. Where futures are nested, the outer
/// one's bytes include the inner one's.
///
/// # Cost
///
/// Four loads a poll.
///
/// # Examples
///
/// ```
/// use lens_jemalloc::track_allocations;
///
/// #[global_allocator]
/// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), lens_core::Unavailable> {
/// let request = track_allocations(async {
///     let buffer = vec![0_u8; 100_000];
///     tokio::task::yield_now().await;
///     buffer.len()
/// });
/// let answer = request.await;
/// assert_eq!(answer.output, 100_000);
/// assert!(answer.allocations?.allocated_bytes >= 100_000);
/// # Ok(())
/// # }
/// ```
pub fn track_allocations<F: Future>(future: F) -> TrackAllocations<F> {
    TrackAllocations { future: Some(future), counted: Allocations::default(), is_counted: true }
}

impl<F: Future> Future for TrackAllocations<F> {
    type Output = Tracked<F::Output>;

    /// # Panics
    ///
    /// If it is polled again after its end, as futures may.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("a future is not polled after its end");
        let before = ThreadCounters::current().map(|counters| (counters, counters.allocated(), counters.deallocated()));
        let poll = future.poll(context);
        if poll.is_ready() {
            this.future.set(None);
        }
        this.counted.poll_count += 1;
        match before {
            Some((counters, allocated, deallocated)) => {
                this.counted.allocated_bytes += counters.allocated().wrapping_sub(allocated);
                this.counted.deallocated_bytes += counters.deallocated().wrapping_sub(deallocated);
            }
            None => *this.is_counted = false,
        }
        let output = ready!(poll);
        let allocations = if *this.is_counted { Ok(*this.counted) } else { Err(Unavailable::NotGlobalAllocator) };
        Poll::Ready(Tracked { output, allocations })
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Duration;

    use super::*;

    /// Bytes of the size class of the blocks that tests allocate.
    const CLASS: u64 = 10_240;

    async fn job(polls: u64) -> Vec<u8> {
        let kept = vec![1; 10_000];
        for _ in 1..polls {
            black_box(vec![1; 10_000]);
            tokio::task::yield_now().await;
        }
        kept
    }

    #[tokio::test]
    async fn a_futures_bytes_are_exact() {
        let Tracked { output, allocations } = track_allocations(job(1)).await;
        assert_eq!(
            allocations.unwrap(),
            Allocations { allocated_bytes: CLASS, deallocated_bytes: 0, poll_count: 1 },
            "what it gives away is not freed"
        );
        drop(output);
        let Tracked { allocations, .. } = track_allocations(async { drop(job(1).await) }).await;
        assert_eq!(
            allocations.unwrap(),
            Allocations { allocated_bytes: CLASS, deallocated_bytes: CLASS, poll_count: 1 }
        );
    }

    #[tokio::test]
    async fn what_a_future_holds_at_its_end_is_freed_by_it() {
        let held = vec![1_u8; 10_000];
        let future = std::future::poll_fn(move |_| Poll::Ready(held.len()));
        let Tracked { allocations, .. } = track_allocations(future).await;
        assert_eq!(allocations.unwrap().deallocated_bytes, CLASS);
    }

    #[test]
    fn bytes_are_exact_over_ten_thousand_polls_on_changing_threads() {
        const TASKS: u64 = 50;
        const POLLS: u64 = 200;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        let spawn = |_| {
            runtime.spawn(track_allocations(async {
                let threads = std::collections::HashSet::<std::thread::ThreadId>::from([std::thread::current().id()]);
                let mut moved = false;
                let kept = vec![1_u8; 10_000];
                for poll in 1..POLLS {
                    black_box(vec![1_u8; 10_000]);
                    // Every 20th poll is woken by the timer, on whatever worker is free.
                    if poll % 20 == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    } else {
                        std::future::poll_fn(once()).await;
                    }
                    moved |= !threads.contains(&std::thread::current().id());
                }
                (kept, moved)
            }))
        };
        let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
        let mut has_moved = false;
        for task in tasks {
            let Tracked { output: (kept, moved), allocations } = runtime.block_on(task).unwrap();
            let allocations = allocations.unwrap();
            let own = POLLS * CLASS;
            // The set of threads is the only other block.
            assert_eq!(allocations.allocated_bytes - own, allocations.deallocated_bytes - (own - CLASS));
            assert!(allocations.allocated_bytes - own < 200, "{allocations:?}");
            drop(kept);
            has_moved |= moved;
        }
        assert!(has_moved, "no task was polled by another thread than its first");
    }

    /// A future that is ready at its second poll, and wakes itself.
    fn once() -> impl FnMut(&mut Context<'_>) -> Poll<()> {
        let mut polled = false;
        move |context| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
