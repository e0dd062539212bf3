//! What the parts of the service share: the orders, the prices, the payment, the way to the dispatcher. Separate so
//! that API, workers and faults see the same thing without seeing each other.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::cache::Prices;
use crate::faults::truth::{Place, here};
use crate::payment::Payment;
use crate::store::{OrderId, Store};

/// How many paid orders may wait for the dispatcher; a payment beyond that waits until there is room.
pub const DISPATCH_CAPACITY: usize = 256;

/// Where the way to the dispatcher is created, for those who compare.
pub(crate) const DISPATCH_CREATED: Place = here!("dispatch" in "app.rs");

/// How many notices may wait for the notifier; the oldest is dropped beyond that.
pub const OUTBOX_CAPACITY: usize = 1_000;

/// The service's state.
#[derive(Debug)]
pub struct App {
    /// The orders.
    pub store: Store,
    /// What articles cost.
    pub prices: Prices,
    /// Takes payments.
    pub payment: Payment,
    /// Paid orders, on their way to the dispatcher.
    pub dispatch: mpsc::Sender<OrderId>,
    /// Prints what is stuck on a parcel.
    pub printer: Printer,
    /// Notices to customers that are not yet sent.
    pub outbox: Outbox,
    /// How many requests were answered.
    pub requests: AtomicU64,
    /// When the service started.
    pub started: Instant,
}

impl App {
    /// A service without orders, and the dispatcher's end of [`App::dispatch`].
    #[must_use]
    pub fn new(payment: Payment) -> (Self, mpsc::Receiver<OrderId>) {
        let (dispatch, paid) = mpsc::channel(DISPATCH_CAPACITY); // here: dispatch
        let app = Self {
            store: Store::default(),
            prices: Prices::default(),
            payment,
            dispatch,
            printer: Printer::default(),
            outbox: Outbox::default(),
            requests: AtomicU64::new(0),
            started: Instant::now(),
        };
        (app, paid)
    }
}

/// Prints labels, one at a time; it may jam.
#[derive(Debug, Default)]
pub struct Printer {
    jammed: watch::Sender<bool>,
}

impl Printer {
    /// How long a label takes.
    const PRINTING: Duration = Duration::from_millis(2);

    /// Prints one label; waits as long as the printer is jammed.
    pub async fn print(&self) {
        let mut jammed = self.jammed.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = jammed.wait_for(|jammed| !*jammed).await;
        tokio::time::sleep(Self::PRINTING).await;
    }

    /// Jams the printer, or frees it.
    pub fn jam(&self, jammed: bool) {
        self.jammed.send_replace(jammed);
    }
}

/// Notices that wait to be sent.
#[derive(Debug, Default)]
pub struct Outbox(Mutex<VecDeque<OrderId>>);

impl Outbox {
    /// Adds the notice that `order` has left.
    pub fn add(&self, order: OrderId) {
        let mut waiting = self.lock();
        if waiting.len() == OUTBOX_CAPACITY {
            waiting.pop_front();
        }
        waiting.push_back(order);
    }

    /// Takes at most `limit` notices, the oldest first.
    #[must_use]
    pub fn take(&self, limit: usize) -> Vec<OrderId> {
        let mut waiting = self.lock();
        let limit = limit.min(waiting.len());
        waiting.drain(..limit).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<OrderId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
