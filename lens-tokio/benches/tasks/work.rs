//! What is done.

use std::future::Future;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::variant::Beside;

/// The smallest possible polls. Gives how many.
pub(crate) fn polls(runtime: &Runtime, beside: &Beside) -> u64 {
    const TASKS: u64 = 64;
    const YIELDS: u64 = 40_000;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                spawn(beside, async {
                    for _ in 0..YIELDS {
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    TASKS * YIELDS
}

/// The smallest possible tasks. Gives how many.
pub(crate) fn spawns(runtime: &Runtime, beside: &Beside) -> u64 {
    const BATCHES: u64 = 8_000;
    const BATCH: u64 = 100;
    let batches = async {
        let mut tasks = Vec::new();
        for _ in 0..BATCHES {
            tasks.extend((0..BATCH).map(|_| spawn(beside, async {})));
            for task in tasks.drain(..) {
                task.await.unwrap();
            }
        }
    };
    runtime.block_on(batches);
    BATCHES * BATCH
}

fn spawn<F>(beside: &Beside, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match &beside.monitor {
        Some(monitor) => tokio::spawn(monitor.instrument(future)),
        None if beside.is_named => lens_tokio::spawn("bench", future),
        None => tokio::spawn(future),
    }
}
