//! Requests that the service gives itself, over loopback, as its customers would: a steady rate, whether the answers
//! come or not. It has a thread of its own, so that it goes on while the service is stuck.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{io, thread};

use serde::Deserialize;
use tokio::task::LocalSet;
use tokio::{runtime, time};

use crate::client::{Answer, Connection};
use crate::stop::Stop;

/// How many requests may be under way; those beyond are not sent.
pub const MAX_UNDER_WAY: usize = 64;

/// How long a request may take.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How many different articles are ordered.
const ARTICLES: u64 = 200;

/// How often requests are sent: those that are due since the last time.
const TICK: Duration = Duration::from_millis(5);

/// Over how long a bursty load has its rate.
pub const BURST_PERIOD: Duration = Duration::from_secs(5);

/// In which part of [`BURST_PERIOD`] all its requests come.
pub const BURST: Duration = Duration::from_secs(1);

/// Sends `rate` requests a second to `address`, until `stop`; all of them in bursts, if `is_bursty`.
///
/// # Errors
///
/// The operating system gives no thread.
pub fn start(address: SocketAddr, rate: u32, is_bursty: bool, stop: Stop) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("orders-load".to_owned()).spawn(move || {
        let customers = Customers::new(address);
        runtime.block_on(LocalSet::new().run_until(async {
            tokio::select! {
                () = customers.come(rate, is_bursty) => {}
                () = stop.stopped() => {}
            }
        }));
    })?;
    Ok(())
}

struct Customers(Rc<RefCell<Inner>>, SocketAddr);

struct Inner {
    idle: Vec<Connection>,
    under_way: usize,
    number: u64,
    /// How many of them placed an order.
    placed: u64,
    /// The order that was placed last, and not yet paid.
    unpaid: Option<u64>,
}

#[derive(Deserialize)]
struct Placed {
    id: u64,
}

impl Customers {
    fn new(address: SocketAddr) -> Self {
        let inner = Inner { idle: Vec::new(), under_way: 0, number: 0, placed: 0, unpaid: None };
        Self(Rc::new(RefCell::new(inner)), address)
    }

    async fn come(&self, rate: u32, is_bursty: bool) {
        let started = Instant::now();
        let mut ticks = time::interval(TICK);
        let mut sent = 0_u64;
        loop {
            ticks.tick().await;
            let elapsed = started.elapsed();
            let due = due(rate, if is_bursty { in_bursts(elapsed) } else { elapsed });
            while sent < due {
                sent += 1;
                self.send_one();
            }
        }
    }

    fn send_one(&self) {
        let request = {
            let mut inner = self.0.borrow_mut();
            if inner.under_way == MAX_UNDER_WAY {
                return;
            }
            inner.under_way += 1;
            inner.next()
        };
        let (inner, address) = (Rc::clone(&self.0), self.1);
        tokio::task::spawn_local(async move {
            let idle = inner.borrow_mut().idle.pop();
            let answered = time::timeout(DEADLINE, request.send(idle, address)).await;
            let mut inner = inner.borrow_mut();
            inner.under_way -= 1;
            if let Ok(Ok((connection, answer))) = answered {
                inner.idle.push(connection);
                if matches!(request, Request::Place { .. }) && answer.status == 201 {
                    inner.unpaid = serde_json::from_slice::<Placed>(&answer.body).ok().map(|order| order.id);
                }
            }
        });
    }
}

impl Inner {
    /// Of ten requests, four place an order, one pays, three read one and two read the list.
    fn next(&mut self) -> Request {
        self.number += 1;
        match self.number % 10 {
            0 | 3 | 5 | 8 => {
                self.placed += 1;
                Request::Place { number: self.placed }
            }
            1 | 6 => Request::List,
            4 => self.unpaid.take().map_or(Request::List, |id| Request::Pay { id }),
            _ => self.unpaid.map_or(Request::List, |id| Request::Read { id }),
        }
    }
}

/// How many requests are due after so long.
fn due(rate: u32, elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
}

/// Time that passes as fast as the load is to come: in each period, all of it at the beginning.
fn in_bursts(elapsed: Duration) -> Duration {
    let periods = elapsed.as_nanos() / BURST_PERIOD.as_nanos();
    let begun = BURST_PERIOD * u32::try_from(periods).unwrap_or(u32::MAX);
    let within = (elapsed - begun).min(BURST).mul_f64(BURST_PERIOD.div_duration_f64(BURST));
    begun + within
}

enum Request {
    Place { number: u64 },
    Read { id: u64 },
    List,
    Pay { id: u64 },
}

impl Request {
    async fn send(&self, idle: Option<Connection>, address: SocketAddr) -> io::Result<(Connection, Answer)> {
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(address).await?,
        };
        let answer = match self {
            Self::Place { number } => {
                let (customer, sku) = (number % 1_000, number % ARTICLES);
                let body = format!(
                    r#"{{"customer":"customer-{customer}","items":[{{"sku":"sku-{sku}","quantity":{}}}]}}"#,
                    1 + number % 3
                );
                connection.request("POST", "/orders", Some(&body)).await?
            }
            Self::Read { id } => connection.request("GET", &format!("/orders/{id}"), None).await?,
            Self::List => connection.request("GET", "/orders?limit=10", None).await?,
            Self::Pay { id } => connection.request("POST", &format!("/orders/{id}/pay"), None).await?,
        };
        Ok((connection, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_of_a_period_come_in_its_burst() {
        let seconds = Duration::from_secs_f64;
        for (elapsed, passed) in [(0.0, 0.0), (0.5, 2.5), (1.0, 5.0), (4.9, 5.0), (5.5, 7.5), (9.0, 10.0)] {
            assert_eq!(due(200, in_bursts(seconds(elapsed))), due(200, seconds(passed)), "after {elapsed} s");
        }
    }
}
