//! Faults of queues: more comes in than goes out.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};
use crate::api::SENDS;
use crate::app;
use crate::workers::{DISPATCHER, PRINTS};

const QUEUE: Place = here!("unbounded_channel queue" in "queues.rs");
const ADDED: Place = here!("unbounded_channel" in "queues.rs");
const READ: Place = here!("unbounded_channel read" in "queues.rs");
const PRODUCER: Place = here!("unbounded_channel producer" in "queues.rs");
const CONSUMER: Place = here!("unbounded_channel consumer" in "queues.rs");
const RESENT: Place = here!("channel_full send" in "queues.rs");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        name: "unbounded_channel",
        about: "an unbounded channel gets 20 times what its consumer takes",
        truth: Truth::new(Cause::QueueGrowth, ADDED)
            .also(&[READ])
            .spawned_at(&[PRODUCER, CONSUMER])
            .created_at(&[QUEUE]),
        removable: true,
        seconds: Bound::new(300, 3_600),
        rate: Some(Bound::new(2_000, 10_000)),
        count: Bound::new(100_000, 200_000),
        unit: "events of 512 bytes in the queue",
        start: record_views,
    },
    Fault {
        name: "channel_full",
        about: "the dispatcher waits for a jammed printer; its bounded channel is full and senders wait",
        truth: Truth::new(Cause::SlowConsumer, PRINTS)
            .also(&[SENDS, RESENT])
            .spawned_at(&[DISPATCHER])
            .created_at(&[app::DISPATCH_CREATED]),
        removable: true,
        seconds: Bound::new(300, 3_600),
        rate: None,
        count: Bound::new(300, 1_000),
        unit: "orders sent to the dispatcher",
        start: jam,
    },
];

/// The size of an event, in bytes.
const EVENT: usize = 512;

/// How long the consumer takes for an event.
const READING: Duration = Duration::from_millis(10);

fn record_views(context: Context) {
    let (views, unread) = mpsc::unbounded_channel(); // here: unbounded_channel queue
    tokio::spawn(view(context.clone(), views)); // here: unbounded_channel producer
    tokio::spawn(analyze(context, unread)); // here: unbounded_channel consumer
}

async fn view(context: Context, views: mpsc::UnboundedSender<Vec<u8>>) {
    let add = || {
        let view = vec![0xa5; EVENT];
        views.send(view).is_ok() // here: unbounded_channel
    };
    context.pace(add).await;
}

async fn analyze(context: Context, mut unread: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(Some(_view)) = context.until_over(unread.recv()).await {
        context.subtract();
        time::sleep(READING).await; // here: unbounded_channel read
    }
}

fn jam(context: Context) {
    context.app().printer.jam(true);
    for _ in 0..context.count() {
        tokio::spawn(dispatch_again(context.clone()));
    }
    tokio::spawn(async move {
        context.over().await;
        context.app().printer.jam(false);
    });
}

/// Sends an order that nobody knows: the dispatcher prints a label for it, and that is all.
async fn dispatch_again(context: Context) {
    let sent = context.app().dispatch.send(0); // here: channel_full send
    if context.until_over(sent).await.is_some() {
        context.add();
    }
}
