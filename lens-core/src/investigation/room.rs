//! The thread on which investigations by a model run, and its runtime. Separate because it is lens's own: a service whose
//! workers are blocked is investigated all the same.

use std::fmt;
use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::threads;

/// The thread's name.
const THREAD: &str = "lens-model";

/// A thread with a runtime, on which futures run until they end or this is dropped.
pub struct Room {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

impl Room {
    /// Starts the thread. Its runtime can reach the network: a model may want to.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn open() -> Result<Self, Error> {
        let refused = |source| Error::Thread { name: THREAD, source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = threads::spawn(THREAD, None, move || {
            // Ends when it is told to, or when nobody can tell it any more.
            let _ = runtime.block_on(stopped);
            // What still runs is dropped; a model's blocking threads are not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs a future here. A panic in it ends only that future.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been its end already.
            let _ = thread.join();
        }
    }
}
