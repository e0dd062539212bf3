//! A skill of the service's own: a batcher tells lens what waits in its queue.
//!
//! `cargo run --example custom_skill`, then
//! `curl -d 'batcher.oldest(limit=2)' http://127.0.0.1:6670/debug/lens/query`

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lens::{About, Functions, Metric, Metrics, Reading, Skill, Unit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Default)]
struct Batcher {
    queue: Mutex<VecDeque<(u64, Instant)>>,
}

// The skill: from here …
static DEPTH: Metric = Metric::gauge("depth", Unit::Count, "Items that wait to be written.").bad_when_up();

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Item {
    /// The item's number.
    id: u64,
    /// How long it has been waiting.
    waiting_ms: f64,
}

impl Skill for Batcher {
    type State = Vec<Item>;

    fn about(&self) -> About {
        About::new("batcher", "Batcher", "What waits to be written.")
    }

    fn metrics(&self, out: &mut Metrics) {
        if let Ok(queue) = self.queue.lock() {
            out.record(&DEPTH, queue.len());
        }
    }

    fn collect(&self) -> Reading<Vec<Item>> {
        let queue = self.queue.lock().map_err(|_| lens::Unavailable::failed("the batcher panicked"))?;
        let item = |(id, since): &(u64, Instant)| Item { id: *id, waiting_ms: since.elapsed().as_secs_f64() * 1e3 };
        Ok(queue.iter().map(item).collect())
    }

    fn functions(to: Functions<Vec<Item>>) -> Functions<Vec<Item>> {
        to.rows("oldest", "What has waited longest, first.", "batcher.oldest(limit=2)", |items, Oldest { limit }| {
            Ok(items.iter().take(limit as usize).cloned().collect())
        })
    }
}

#[derive(Deserialize, JsonSchema)]
struct Oldest {
    /// How many items.
    #[serde(default = "ten")]
    limit: u32,
}

fn ten() -> u32 {
    10
}
// … to here.

#[tokio::main(crate = "lens")]
async fn main() -> Result<(), lens::Error> {
    let batcher = Arc::new(Batcher::default());
    let _lens = lens::Builder::new().skill(Arc::clone(&batcher)).start()?;
    for id in 0.. {
        if let Ok(mut queue) = batcher.queue.lock() {
            queue.push_back((id, Instant::now()));
            if queue.len() > 20 {
                queue.clear();
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
