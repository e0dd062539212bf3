//! What goes on behind the API: paid orders are dispatched, customers told, prices kept fresh.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{self, Interval, MissedTickBehavior};

use crate::app::App;
use crate::faults::truth::{Place, here};
use crate::named;
use crate::stop::Stop;
use crate::store::{OrderId, Status};

/// How often notices are sent.
const NOTIFY_EVERY: Duration = Duration::from_millis(250);

/// How many notices are sent at once.
const NOTICES_AT_ONCE: usize = 100;

/// How often prices are looked after.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Where the dispatcher waits for a label, for those who compare.
pub(crate) const PRINTS: Place = here!("channel_full" in "workers.rs");

/// Where the dispatcher is spawned, for those who compare.
pub(crate) const DISPATCHER: Place = here!("dispatcher" in "workers.rs");

/// Starts all workers; each ends after `stop`, the dispatcher once it has dispatched what was paid.
#[must_use]
pub fn spawn(app: &Arc<App>, paid: mpsc::Receiver<OrderId>, stop: &Stop) -> JoinSet<()> {
    let mut workers = JoinSet::new();
    named::spawn_in("workers/dispatcher", dispatch(Arc::clone(app), paid, stop.clone()), &mut workers); // here: dispatcher
    named::spawn_in("workers/notifier", notify(Arc::clone(app), stop.clone()), &mut workers);
    named::spawn_in("workers/prices", refresh_prices(Arc::clone(app), stop.clone()), &mut workers);
    workers
}

/// How long a saturated service computes before it yields.
const BEFORE_YIELD: Duration = Duration::from_micros(200);

/// Adds work that takes all processors that nothing else needs, and yields in time: one task for each worker.
pub fn saturate(workers: &mut JoinSet<()>, stop: &Stop) {
    for _ in 0..Handle::current().metrics().num_workers() {
        named::spawn_in("workers/recommender", recommend(stop.clone()), workers);
    }
}

async fn recommend(stop: Stop) {
    let mut score = 1_u64;
    while !stop.is_stopped() {
        let started = Instant::now();
        while started.elapsed() < BEFORE_YIELD {
            score = black_box((0..1_000).fold(score, |score, order| score.rotate_left(7) ^ order));
        }
        tokio::task::yield_now().await;
    }
}

async fn dispatch(app: Arc<App>, mut paid: mpsc::Receiver<OrderId>, stop: Stop) {
    let stopped = stop.stopped();
    tokio::pin!(stopped);
    loop {
        let order = tokio::select! {
            order = paid.recv() => order,
            () = &mut stopped, if !paid.is_closed() => {
                paid.close();
                continue;
            }
        };
        let Some(order) = order else { break };
        app.printer.print().await; // here: channel_full
        // An order may have been forgotten while it waited.
        if app.store.advance(order, Status::Paid, Status::Dispatched).is_ok() {
            app.outbox.add(order);
        }
    }
}

async fn notify(app: Arc<App>, stop: Stop) {
    let mut rounds = Rounds::new(NOTIFY_EVERY, stop);
    while rounds.next().await {
        let orders = app.outbox.take(NOTICES_AT_ONCE);
        if orders.is_empty() {
            continue;
        }
        // Rendering is work for the processor, so it is kept from the runtime's workers.
        let rendered = tokio::task::spawn_blocking(move || orders.into_iter().map(notice).collect::<Vec<_>>()).await;
        tracing::debug!(notices = rendered.map_or(0, |notices| notices.len()), "customers told");
    }
}

fn notice(order: OrderId) -> String {
    format!("Dear customer, your order {order} is on its way.")
}

async fn refresh_prices(app: Arc<App>, stop: Stop) {
    let mut rounds = Rounds::new(REFRESH_EVERY, stop);
    while rounds.next().await {
        app.prices.refresh().await;
    }
}

/// Rounds of work, until the service stops.
struct Rounds {
    ticks: Interval,
    stop: Stop,
}

impl Rounds {
    fn new(every: Duration, stop: Stop) -> Self {
        let mut ticks = time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next round; false if there is none any more.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => true,
            () = self.stop.clone().stopped() => false,
        }
    }
}
