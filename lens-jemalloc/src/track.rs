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
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::task::Waker;

    use super::*;

    /// Bytes of the size class of the blocks that tests allocate.
    const CLASS: u64 = 10_240;

    async fn job(polls: u64) -> Vec<u8> {
        let kept = vec![1; 10_000];
        for _ in 1..polls {
            black_box(vec![1_u8; 10_000]);
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

    /// Polls what it is given and hands it on, until it is the one that polled last.
    fn poll_in_turn<F: Future>(inbox: &Receiver<Pin<Box<F>>>, outbox: &Sender<Pin<Box<F>>>) -> Option<F::Output> {
        for mut future in inbox {
            // What the thread itself allocates between polls isn't the future's.
            black_box(vec![1_u8; 10_000]);
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(output) => return Some(output),
                Poll::Pending => outbox.send(future).unwrap(),
            }
        }
        None
    }

    #[test]
    fn bytes_are_exact_over_ten_thousand_polls_on_changing_threads() {
        const POLLS: u64 = 10_000;
        let (to_first, first) = mpsc::channel();
        let (to_second, second) = mpsc::channel();
        to_first.send(Box::pin(track_allocations(job(POLLS)))).unwrap();
        let outputs = std::thread::scope(|scope| {
            let first = scope.spawn(move || poll_in_turn(&first, &to_second));
            let second = scope.spawn(move || poll_in_turn(&second, &to_first));
            [first.join().unwrap(), second.join().unwrap()]
        });
        let [None, Some(Tracked { output, allocations })] = outputs else {
            panic!("an even number of polls ends on the second thread")
        };
        assert_eq!(output.len(), 10_000);
        assert_eq!(
            allocations.unwrap(),
            Allocations { allocated_bytes: POLLS * CLASS, deallocated_bytes: (POLLS - 1) * CLASS, poll_count: POLLS }
        );
    }
}
