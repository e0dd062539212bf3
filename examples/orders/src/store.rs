//! The orders, in memory, in the order in which they came. It stands where other services have a database, and is
//! bounded: the oldest orders are forgotten.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How many orders are kept.
pub const CAPACITY: usize = 2_000;

/// An order's number.
pub type OrderId = u64;

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its payment.
    Placed,
    /// Its payment is under way.
    Paying,
    /// It waits to be dispatched.
    Paid,
    /// It has left.
    Dispatched,
    /// Its payment was refused.
    Declined,
}

/// Some pieces of one article.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The article's number.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// Who placed it.
    pub customer: String,
    /// What was ordered.
    pub items: Vec<Item>,
    /// What it costs, in cents.
    pub total_cents: u64,
    /// How far it has come.
    pub status: Status,
    /// When it was placed, in milliseconds since 1970.
    pub placed_at_ms: u64,
}

/// Every order that is not yet forgotten.
#[derive(Debug, Default)]
pub struct Store(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    orders: BTreeMap<OrderId, Order>,
    last: OrderId,
}

impl Store {
    /// Keeps a new order, and forgets the oldest beyond [`CAPACITY`].
    pub fn place(&self, customer: String, items: Vec<Item>, total_cents: u64) -> Order {
        let mut inner = self.lock();
        inner.last += 1;
        let id = inner.last;
        let order = Order { id, customer, items, total_cents, status: Status::Placed, placed_at_ms: now_ms() };
        inner.orders.insert(id, order.clone());
        while inner.orders.len() > CAPACITY {
            inner.orders.pop_first();
        }
        order
    }

    /// The order `id`.
    #[must_use]
    pub fn get(&self, id: OrderId) -> Option<Order> {
        self.lock().orders.get(&id).cloned()
    }

    /// The newest orders first, only those of `status` if it is given.
    #[must_use]
    pub fn list(&self, status: Option<Status>, limit: usize) -> Vec<Order> {
        let inner = self.lock();
        let wanted = inner.orders.values().rev().filter(|order| status.is_none_or(|status| order.status == status));
        wanted.take(limit).cloned().collect()
    }

    /// How many orders are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().orders.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves the order `id` from one status to another.
    ///
    /// # Errors
    ///
    /// The status it has, if it is another than `from`; `None` if there is no such order.
    pub fn advance(&self, id: OrderId, from: Status, to: Status) -> Result<Order, Option<Status>> {
        let mut inner = self.lock();
        let order = inner.orders.get_mut(&id).ok_or(None)?;
        if order.status != from {
            return Err(Some(order.status));
        }
        order.status = to;
        Ok(order.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_orders_are_forgotten_beyond_the_capacity() {
        let store = Store::default();
        for number in 0..CAPACITY + 3 {
            store.place(format!("customer {number}"), Vec::new(), 0);
        }
        assert_eq!(store.len(), CAPACITY);
        assert_eq!(store.get(3), None);
        assert_eq!(store.get(4).unwrap().customer, "customer 3");
        assert_eq!(store.list(None, 1)[0].id, 2_003);
    }

    #[test]
    fn an_order_advances_only_from_the_status_it_has() {
        let store = Store::default();
        let id = store.place("ada".to_owned(), Vec::new(), 0).id;
        assert_eq!(store.advance(id, Status::Placed, Status::Paying).unwrap().status, Status::Paying);
        assert_eq!(store.advance(id, Status::Placed, Status::Paying), Err(Some(Status::Paying)));
        assert_eq!(store.advance(99, Status::Placed, Status::Paying), Err(None));
        assert_eq!(store.list(Some(Status::Placed), 10), []);
    }
}
