//! The thread that `console-subscriber`'s aggregator runs on, and the snapshots that it is asked for. Separate because
//! nothing else in this module waits for anything.
//!
//! No port is opened: the client calls the server in the same process. The aggregator is not bound by tokio's budget, of
//! which it would lose all but 128 events at a time; what has ended is not kept; and a snapshot is taken right after the
//! queue was drained, so that it lacks nothing and is as small as can be.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use console_api::instrument::instrument_client::InstrumentClient;
use console_api::instrument::instrument_server::InstrumentServer;
use console_api::instrument::{InstrumentRequest, StateRequest, Update};
use console_subscriber::{ConsoleLayer, Server, ServerParts};
use lens_core::{Reading, Unavailable, threads};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::unconstrained;
use tracing::subscriber::NoSubscriber;

use super::decode;
use super::layer::Link;
use super::state::{Missing, State};
use super::{PUBLISH_INTERVAL, QUEUE_CAPACITY, READ_DEADLINE};

/// The greatest value of `console-subscriber`'s two histograms of a task: the least that it accepts, 2 KiB instead of
/// 25 KiB each. Spawn sites have the distribution of their polls in the skill `tasks`.
const HISTOGRAM_MAX: Duration = Duration::from_nanos(255);

/// Where the thread is asked for snapshots.
pub(super) type Asks = Sender<SyncSender<Reading<Update>>>;

/// How many may wait for a snapshot. More would only wait behind those that have given up.
const MAX_ASKS: usize = 4;

/// A layer with settings that are safe in a service that runs for long.
pub(super) fn layer() -> (ConsoleLayer, Server) {
    ConsoleLayer::builder()
        .retention(Duration::ZERO)
        .publish_interval(PUBLISH_INTERVAL)
        .event_buffer_capacity(QUEUE_CAPACITY)
        .poll_duration_histogram_max(HISTOGRAM_MAX)
        .scheduled_duration_histogram_max(HISTOGRAM_MAX)
        .build()
}

impl Link {
    /// Starts the thread, if the layer was made and it does not run yet.
    pub(super) fn start(&self) -> Reading<()> {
        // Held until the thread runs, so that another caller does not find it half started.
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if self.asks.get().is_some() {
            return Ok(());
        }
        // Without a layer there is nothing to serve, which `check` tells.
        let Some(made) = server.take() else {
            return if self.is_made() { Err(not_started("an earlier attempt failed")) } else { Ok(()) };
        };
        let (asks, asked) = channel(MAX_ASKS);
        threads::spawn("lens-console", None, move || serve(made, asked)).map_err(not_started)?;
        let _ = self.asks.set(asks);
        Ok(())
    }

    /// What the server knows now.
    pub(super) fn snapshot(&self) -> Reading<State> {
        let (answer, answered) = sync_channel(1);
        let ended = || Unavailable::failed("the thread `lens-console` has ended: restart the service");
        let asks = self.asks.get().ok_or_else(ended)?;
        asks.try_send(answer).map_err(|error| match error {
            TrySendError::Full(_) => too_late(),
            TrySendError::Closed(_) => ended(),
        })?;
        let update = match answered.recv_timeout(READ_DEADLINE) {
            Ok(update) => update?,
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            Err(RecvTimeoutError::Timeout) => return Err(too_late()),
        };
        let mut state =
            decode::state(&update, self.gap_end()).ok_or_else(|| Unavailable::failed("the snapshot lacks a part"))?;
        let lost = self.lost.fetch_add(state.missing.events, Ordering::Relaxed) + state.missing.events;
        state.missing = Missing {
            tasks: Some(self.budget.tasks.refused()),
            resources: Some(self.budget.resources.refused()),
            operations: Some(self.budget.operations.refused()),
            events: lost,
        };
        Ok(state)
    }
}

fn not_started(why: impl std::fmt::Display) -> Unavailable {
    Unavailable::failed(format!("the thread `lens-console` cannot be started: {why}; restart the service"))
}

/// Why there is no snapshot in time.
fn too_late() -> Unavailable {
    Unavailable::failed(format!(
        "console-subscriber gave no snapshot within {READ_DEADLINE:?}: the machine is overloaded, or the snapshot is \
         larger than its limit of 4 MiB, which only very long names or attributes make it"
    ))
}

/// The thread. It ends with the layer.
fn serve(server: Server, asked: Receiver<SyncSender<Reading<Update>>>) {
    // What the aggregator and its runtime log and trace is nobody's business.
    let _silence = tracing::subscriber::set_default(NoSubscriber::default());
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    runtime.block_on(answer_all(server, asked));
}

async fn answer_all(server: Server, mut asked: Receiver<SyncSender<Reading<Update>>>) {
    let ServerParts { instrument_server, aggregator, .. } = server.into_parts();
    let mut aggregating = tokio::spawn(unconstrained(aggregator.run()));
    // The message is in the process already; its size is bounded where it is made.
    let mut client = InstrumentClient::new(instrument_server).max_decoding_message_size(usize::MAX);
    loop {
        let ask = tokio::select! {
            ask = asked.recv() => ask,
            _ = &mut aggregating => None,
        };
        let Some(ask) = ask else { return };
        let update = tokio::time::timeout(READ_DEADLINE, snapshot(&mut client)).await;
        // Whoever asked may have given up.
        let _ = ask.try_send(update.unwrap_or_else(|_| Err(too_late())));
    }
}

async fn snapshot(client: &mut InstrumentClient<InstrumentServer<Server>>) -> Reading<Update> {
    // Any request drains the queue, after it was handled: this one first, so that the next one sees everything.
    let mut drained = client.watch_state(StateRequest {}).await.map_err(refused)?.into_inner();
    drained.message().await.map_err(refused)?;
    let mut updates = client.watch_updates(InstrumentRequest {}).await.map_err(refused)?.into_inner();
    updates.message().await.map_err(refused)?.ok_or_else(|| Unavailable::failed("console-subscriber has ended"))
}

fn refused(status: impl std::fmt::Display) -> Unavailable {
    Unavailable::failed(format!("console-subscriber refuses: {status}"))
}
