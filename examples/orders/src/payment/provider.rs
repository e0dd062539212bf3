//! Stands for the payment provider: a server of its own on a thread of its own, so that the service really calls
//! something and waits for a socket. It is no part of the service's runtime.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{io, thread};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::{runtime, time};

use crate::stop::Stop;

/// How long the provider thinks about a payment.
pub const LATENCY: Duration = Duration::from_millis(20);

/// The provider declines what is above this.
pub const LIMIT_CENTS: u64 = 1_000_000;

/// The payment provider.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
}

#[derive(Debug)]
struct Behaviour {
    latency_ms: AtomicU64,
    is_failing: AtomicBool,
    calls: AtomicU64,
}

#[derive(Deserialize)]
struct Charge {
    cents: u64,
}

impl Provider {
    /// Starts it on a free port of the loopback; it ends with `stop`.
    ///
    /// # Errors
    ///
    /// The operating system gives no port or no thread.
    pub fn start(stop: Stop) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let behaviour = Arc::new(Behaviour {
            latency_ms: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            calls: AtomicU64::new(0),
        });
        let router = Router::new().route("/charge", post(charge)).with_state(Arc::clone(&behaviour));
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("payment-provider".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served,
                    () = stop.stopped() => Ok(()),
                }
            })
        })?;
        let provider = Self { address, behaviour };
        provider.set_latency(LATENCY);
        Ok(provider)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many payments it was asked to take.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.behaviour.calls.load(Ordering::Relaxed)
    }

    /// Makes it think for so long about each payment, in whole milliseconds.
    pub fn set_latency(&self, latency: Duration) {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.behaviour.latency_ms.store(latency_ms, Ordering::Relaxed);
    }

    /// Makes it answer with 503, or no longer.
    pub fn fail(&self, is_failing: bool) {
        self.behaviour.is_failing.store(is_failing, Ordering::Relaxed);
    }
}

async fn charge(State(behaviour): State<Arc<Behaviour>>, Json(charge): Json<Charge>) -> StatusCode {
    behaviour.calls.fetch_add(1, Ordering::Relaxed);
    time::sleep(Duration::from_millis(behaviour.latency_ms.load(Ordering::Relaxed))).await;
    if behaviour.is_failing.load(Ordering::Relaxed) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if charge.cents > LIMIT_CENTS {
        StatusCode::PAYMENT_REQUIRED
    } else {
        StatusCode::OK
    }
}
