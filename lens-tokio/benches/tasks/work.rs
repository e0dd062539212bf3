//! What is done.

use std::future::Future;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::variant::Spawner;

/// The smallest possible polls. Gives how many.
pub(crate) fn polls(runtime: &Runtime, spawner: &Spawner) -> u64 {
    const TASKS: u64 = 64;
    const YIELDS: u64 = 40_000;
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                spawn(spawner, async {
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

/// The smallest possible tasks, spawned by the thread that drives the runtime or stands beside its workers. Gives how many.
pub(crate) fn spawns(runtime: &Runtime, spawner: &Spawner) -> u64 {
    runtime.block_on(batches(spawner.clone()))
}

/// The same, spawned by a task.
pub(crate) fn spawns_of_a_task(runtime: &Runtime, spawner: &Spawner) -> u64 {
    runtime.block_on(runtime.spawn(batches(spawner.clone()))).unwrap()
}

async fn batches(spawner: Spawner) -> u64 {
    const BATCHES: u64 = 8_000;
    const BATCH: u64 = 100;
    let mut tasks = Vec::new();
    for _ in 0..BATCHES {
        tasks.extend((0..BATCH).map(|_| spawn(&spawner, async {})));
        for task in tasks.drain(..) {
            task.await.unwrap();
        }
    }
    BATCHES * BATCH
}

fn spawn<F>(spawner: &Spawner, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match &spawner.monitor {
        Some(monitor) => tokio::spawn(monitor.instrument(future)),
        None if spawner.is_named => lens_tokio::spawn("bench", future),
        None => tokio::spawn(future),
    }
}
