//! What a fault's code knows about its own run: how fast it is to go, and when to end. A fault goes on as long as any
//! of its code holds its context.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::{self, MissedTickBehavior};

use super::Progress;
use crate::app::App;
use crate::stop::{self, Stop, Stopper};

/// How often [`Context::pace`] acts.
const TICK: Duration = Duration::from_millis(10);

/// A run of a fault, as its code sees it.
#[derive(Clone, Debug)]
pub(super) struct Context(Arc<Run>);

#[derive(Debug)]
struct Run {
    app: Arc<App>,
    stop: Stop,
    process: Stop,
    started: Instant,
    ends: Instant,
    rate: Option<u64>,
    count: u64,
    injected: AtomicU64,
}

/// A run of a fault, as the zoo sees it.
#[derive(Clone, Debug)]
pub(super) struct Running {
    run: Weak<Run>,
    stopper: Stopper,
}

/// Both sides of a run that lasts `lasts` at most.
pub(super) fn start(
    app: &Arc<App>,
    process: &Stop,
    lasts: Duration,
    rate: Option<u64>,
    count: u64,
) -> (Context, Running) {
    let (stopper, stop) = stop::channel();
    let started = Instant::now();
    let ends = started + lasts;
    let run = Arc::new(Run {
        app: Arc::clone(app),
        stop: stop.clone(),
        process: process.clone(),
        started,
        ends,
        rate,
        count,
        injected: AtomicU64::new(0),
    });
    let running = Running { run: Arc::downgrade(&run), stopper: stopper.clone() };
    let process = process.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = time::sleep_until(ends.into()) => {}
            () = process.stopped() => {}
            () = stop.stopped() => {}
        }
        stopper.stop();
    });
    (Context(run), running)
}

impl Running {
    pub(super) fn goes_on(&self) -> bool {
        self.run.strong_count() > 0
    }

    pub(super) fn stop(&self) {
        self.stopper.stop();
    }

    /// How far it has come, or nothing once it is gone.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.run.upgrade().map(|run| Context(run).progress())
    }
}

impl Context {
    pub(super) fn app(&self) -> &Arc<App> {
        &self.0.app
    }

    /// How many there are to be at most.
    pub(super) fn count(&self) -> u64 {
        self.0.count
    }

    pub(super) fn progress(&self) -> Progress {
        let whole_ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let run = &self.0;
        Progress {
            age_ms: whole_ms(run.started.elapsed()),
            ends_in_ms: whole_ms(run.ends.saturating_duration_since(Instant::now())),
            rate: run.rate,
            count: run.count,
            injected: run.injected.load(Ordering::Relaxed),
        }
    }

    /// Whether the fault is to end. It needs no help from the runtime, so it is right while all workers are blocked.
    pub(super) fn is_over(&self) -> bool {
        self.0.stop.is_stopped() || self.0.process.is_stopped() || Instant::now() >= self.0.ends
    }

    /// Returns when the fault is to end.
    pub(super) async fn over(&self) {
        self.0.stop.clone().stopped().await;
    }

    /// What `work` gives, or nothing if the fault ends before.
    pub(super) async fn until_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.over() => None,
        }
    }

    /// Counts one more.
    pub(super) fn add(&self) {
        self.0.injected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(super) fn subtract(&self) {
        self.0.injected.fetch_sub(1, Ordering::Relaxed);
    }

    /// Acts at the fault's rate as long as there are not yet enough, until the fault ends. Counts how often `act` says
    /// that it worked.
    pub(super) async fn pace(&self, mut act: impl FnMut() -> bool) {
        let started = Instant::now();
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut done = 0;
        while self.until_over(ticks.tick()).await.is_some() {
            let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let due = elapsed_ms.saturating_mul(self.0.rate.unwrap_or(0)) / 1_000;
            while done < due {
                done += 1;
                if self.0.injected.load(Ordering::Relaxed) >= self.0.count {
                    continue;
                }
                // Counted first: what is added may be taken away before `act` returns.
                self.add();
                if !act() {
                    self.subtract();
                }
            }
        }
    }

    /// Has `work` done on a thread of its own, shortly after: the answer to whoever started the fault goes out first.
    /// Without a thread there is no fault, and its context is gone.
    pub(super) fn outside(self, work: impl FnOnce(Self, Handle) + Send + 'static) {
        let handle = Handle::current();
        let outside = move || {
            std::thread::sleep(Duration::from_millis(100));
            work(self, handle);
        };
        if let Err(error) = std::thread::Builder::new().name("orders-fault".to_owned()).spawn(outside) {
            tracing::error!(%error, "the fault was not started");
        }
    }
}
