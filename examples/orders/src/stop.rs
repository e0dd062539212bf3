//! The signal by which parts of the service end: one side says so once, any number wait for it. The process's own end
//! is watched by a thread, so that it comes even while every worker of the runtime is blocked.

use std::process;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long the service may take to end by itself after SIGTERM or SIGINT, before the process exits all the same.
pub const GRACE: Duration = Duration::from_secs(1);

/// The exit code of a process that did not end by itself in [`GRACE`].
pub const EXIT_FORCED: i32 = 1;

/// Says that something is to end.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<watch::Sender<bool>>);

/// Waits until something is to end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Both sides of a signal.
#[must_use]
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(Arc::new(sender)), Stop(receiver))
}

impl Stopper {
    /// Says so; a second time changes nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns as soon as it is said, or when nobody is left to say it.
    pub async fn stopped(mut self) {
        // An error means that the stopper is gone, and whatever it stood for with it.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// Says `stopper` on the first SIGTERM or SIGINT, and leaves the process after [`GRACE`] if it is still there.
///
/// # Errors
///
/// The operating system allows no handler or no thread.
pub fn on_signal(stopper: Stopper) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let (terminate, interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    thread::Builder::new().name("orders-signal".to_owned()).spawn(move || {
        runtime.block_on(either(terminate, interrupt));
        tracing::info!("stopping");
        stopper.stop();
        thread::sleep(GRACE);
        tracing::error!("still busy after {} ms: leaving", GRACE.as_millis());
        process::exit(EXIT_FORCED);
    })?;
    Ok(())
}

async fn either(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
