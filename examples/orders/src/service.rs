//! The service as a whole: how its parts are put together, run and ended.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::app::App;
use crate::config::{Config, Pattern};
use crate::faults::Zoo;
use crate::payment::Payment;
use crate::payment::provider::Provider;
use crate::stop::{self, Stop};
use crate::{api, faults, load, workers};

/// A service that listens, and does not yet answer.
#[derive(Debug)]
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    workers: JoinSet<()>,
    load: u32,
    pattern: Pattern,
    stop: Stop,
}

/// How long a service that starts slowly warms up.
pub const WARM_UP: Duration = Duration::from_secs(10);

/// Warms up if it has to, listens, and starts the workers.
///
/// # Errors
///
/// The address is taken, or the operating system refuses something else.
pub async fn start(config: &Config) -> io::Result<Service> {
    let (stopper, stop) = stop::channel();
    stop::on_signal(stopper)?;
    let (app, paid) = App::new(Payment::new(Provider::start(stop.clone())?));
    let app = Arc::new(app);
    if config.pattern == Pattern::SlowStart {
        tracing::info!("warming up");
        tokio::select! {
            () = app.prices.warm_up(WARM_UP) => {}
            () = stop.clone().stopped() => {}
        }
    }
    let cannot_listen =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", config.address));
    let listener = TcpListener::bind(config.address).await.map_err(cannot_listen)?;
    let address = listener.local_addr()?;
    let mut workers = workers::spawn(&app, paid, &stop);
    if config.pattern == Pattern::Saturated {
        workers::saturate(&mut workers, &stop);
    }
    let faults =
        if config.faults { faults::router(Arc::new(Zoo::new(Arc::clone(&app), stop.clone()))) } else { Router::new() };
    let router = api::router(app, faults);
    Ok(Service { listener, address, router, workers, load: config.load, pattern: config.pattern, stop })
}

impl Service {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a router below `path`.
    #[must_use]
    pub fn nest(mut self, path: &str, router: Router) -> Self {
        self.router = self.router.nest(path, router);
        self
    }

    /// Answers until SIGTERM or SIGINT, and then ends what is under way.
    ///
    /// # Errors
    ///
    /// The load of `--load` cannot be started.
    pub async fn run(mut self) -> io::Result<()> {
        if self.load > 0 {
            let is_bursty = self.pattern == Pattern::Bursty;
            load::start(self.address, self.load, is_bursty, self.stop.clone())?;
        }
        tracing::info!(address = %self.address, "listening");
        // lens lets in only peers that it knows to be local.
        let router = self.router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, router).with_graceful_shutdown(self.stop.stopped()).await?;
        while self.workers.join_next().await.is_some() {}
        tracing::info!("stopped");
        Ok(())
    }
}
