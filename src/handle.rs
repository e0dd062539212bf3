//! A running lens: what it is made of, and the handle that the service holds. Separate from the builder because from here
//! on nothing is a setting any more.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lens_core::investigation::{Listener, Order, Strategy};
use lens_core::sandbox::{Outcome, QueryError, Sandbox};
use lens_core::{Capture, Checks, Metrics, Recorder, Registry, RegistryBuilder, Report, threads};
use lens_tokio::{Runtimes, Watchdog, stalls};

use crate::builder::Builder;
use crate::error::Error;
use crate::heap::{self, Heap, Held, SampleHeapError};
#[cfg(feature = "http")]
use crate::http;
use crate::investigations::{Investigation, Investigations, Refused, Staff};
use crate::own::{Links, Own};
use crate::queries::Queries;
use crate::skills::Sources;

/// How often workers are looked at between two recordings, so that one that makes no progress is noticed within that
/// time. Shorter notices sooner and costs more CPU of lens's own thread.
pub(crate) const SAMPLING_INTERVAL: Duration = Duration::from_millis(100);

/// Whether a lens runs in this process.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Holds the place of the one lens of this process.
struct Running;

impl Running {
    fn claim() -> Result<Self, Error> {
        if RUNNING.swap(true, Ordering::AcqRel) { Err(Error::AlreadyRunning) } else { Ok(Self) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::Release);
    }
}

/// What every part of a running lens shares.
pub(crate) struct Inner {
    pub(crate) registry: Arc<Registry>,
    pub(crate) recorder: Arc<Recorder>,
    /// Where queries run.
    pub(crate) sandbox: Sandbox,
    pub(crate) investigations: Arc<Investigations>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP asks for saved queries by name"))]
    pub(crate) queries: Queries,
    pub(crate) heap: Heap,
}

impl Inner {
    pub(crate) fn capture(&self) -> Arc<Capture> {
        Arc::new(Capture::live(&self.registry, &self.recorder))
    }

    pub(crate) fn staff(&self) -> &Staff {
        self.investigations.staff().expect("a running lens has investigations")
    }

    /// A capture for checks: it stays the same while they are evaluated one after the other.
    pub(crate) fn frozen(&self) -> Arc<Capture> {
        Arc::new(Capture::frozen(&self.registry, &self.recorder))
    }
}

/// A running lens. Dropping it stops it: its threads end and its address is free again.
#[must_use = "lens stops when this is dropped; bind it to a variable such as `_lens`"]
pub struct Lens {
    inner: Arc<Inner>,
    #[cfg(feature = "http")]
    server: http::Server,
    recording: Option<(Sender<()>, JoinHandle<()>)>,
    _watchdog: Watchdog,
    // Last, so that the next lens can only start when all of this one has ended.
    _running: Running,
}

impl fmt::Debug for Lens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lens").field("address", &self.address()).finish_non_exhaustive()
    }
}

pub(crate) fn start(builder: Builder) -> Result<Lens, Error> {
    let running = Running::claim()?;
    #[cfg(feature = "http")]
    let listener = builder.address.map(http::listen).transpose()?;

    let recorder = Arc::new(Recorder::new());
    let limits_of_models = builder.limits.clone();
    let sandbox = Sandbox::new(builder.limits);
    let sandbox = if builder.is_isolated { sandbox.isolated()? } else { sandbox };
    heap::count_task_bytes();
    let runtimes = Runtimes::new();
    if let Ok(handle) = tokio::runtime::Handle::try_current() {
        runtimes.attach(None, handle);
    }
    for (name, handle) in builder.runtimes {
        runtimes.attach(Some(&name), handle);
    }

    let link = Arc::new(OnceLock::new());
    let mut registry = RegistryBuilder::new();
    registry.skill(Own::new(&recorder, &sandbox, &link))?;
    let watchdog = Watchdog::start(stalls::Settings::default(), runtimes.clone())?;
    let sources = Sources {
        runtimes: runtimes.clone(),
        task_monitors: builder.task_monitors,
        stalls: watchdog.skill(),
        asks_glibc: builder.asks_glibc,
        records_panics: builder.records_panics,
    };
    let heap = crate::skills::add(&mut registry, sources)?;
    for add in builder.skills {
        add(&mut registry)?;
    }
    let registry = Arc::new(registry.build());
    let checks = Checks::new(&registry, &builder.checks, &builder.thresholds)?;
    // Of their own, so that a model does not keep people waiting.
    let queries_of_models = Sandbox::new(limits_of_models);
    let queries_of_models = if builder.is_isolated { queries_of_models.isolated()? } else { queries_of_models };
    let investigations =
        Investigations::new(checks).staffed(builder.investigations, &registry, &recorder, &queries_of_models)?;
    let investigations = Arc::new(investigations);
    // Nobody else has the cell yet.
    let _ = link.set(Links { registry: Arc::downgrade(&registry), investigations: Arc::downgrade(&investigations) });

    let queries = Queries::compile(builder.queries, &sandbox, &registry)?;
    let inner = Arc::new(Inner { registry, recorder, sandbox, investigations, queries, heap });
    let recording = record(&inner, runtimes)?;
    #[cfg(feature = "http")]
    let server = http::Server::start(&inner, listener, builder.token)?;
    Ok(Lens {
        inner,
        #[cfg(feature = "http")]
        server,
        recording: Some(recording),
        _watchdog: watchdog,
        _running: running,
    })
}

impl Lens {
    /// Where lens listens, if it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        #[cfg(feature = "http")]
        return self.server.address();
        #[cfg(not(feature = "http"))]
        None
    }

    /// A capture of now, to ask several questions about one instant or to [save](Capture::save).
    #[must_use]
    pub fn capture(&self) -> Arc<Capture> {
        self.inner.capture()
    }

    /// Evaluates a script over a capture of now, on a thread of lens's; the caller waits.
    ///
    /// In a task, call it in `spawn_blocking`: it takes up to the limit of time that queries have.
    ///
    /// # Errors
    ///
    /// The script is wrong, goes past a limit, or asks for what is unavailable.
    pub fn query(&self, script: &str) -> Result<Outcome, Box<QueryError>> {
        self.inner.sandbox.run(script, self.capture()).map_err(Box::new)
    }

    /// Runs every check over a capture of now: what is wrong, where, since when, and what to do. The caller waits, some
    /// milliseconds on a service that is not very large.
    ///
    /// In a task, call it in `spawn_blocking`.
    ///
    /// # Examples
    ///
    /// ```
    /// let lens = lens::Builder::new().no_listener().start()?;
    /// for insight in lens.findings().insights {
    ///     eprintln!("{insight}");
    /// }
    /// # Ok::<(), lens::Error>(())
    /// ```
    #[must_use]
    pub fn findings(&self) -> Report {
        self.inner.investigations.examine(&self.inner.frozen())
    }

    /// Investigates, by the lens's [`strategy`](Builder::strategy), and keeps the report, with the capture that its facts are
    /// true in, for those who look later: at `/debug/lens/investigations`. The caller waits; in a task, use
    /// [`investigate_with`](Self::investigate_with).
    /// If as many are running as may at once, it is answered by the checks alone.
    #[must_use]
    pub fn investigate(&self, reason: impl Into<String>) -> Report {
        self.inner.investigations.investigate(self.inner.staff(), reason.into())
    }

    /// Starts an investigation of which `order` says how it is done and what it may use. What is returned is a future of the
    /// report; dropping it cancels the investigation.
    ///
    /// # Errors
    ///
    /// As many investigations are running as may at once.
    ///
    /// # Examples
    ///
    /// ```
    /// use lens::investigation::{Order, Strategy};
    ///
    /// let lens = lens::Builder::new().no_listener().start()?;
    /// let order = Order::new("orders are slow").strategy(Strategy::Pipeline);
    /// let report = lens.investigate_with(order)?.wait()?;
    /// // Nobody configured a model, so the report has what the checks found, and says why.
    /// assert_eq!(report.ended_by, lens::evidence::EndedBy::NoModel);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn investigate_with(&self, order: Order) -> Result<Investigation, Refused> {
        self.inner.investigations.start(order)
    }

    /// Asks a question in words; the report's [`answer`](lens_core::evidence::ModelPart::answer) has sentences with their
    /// proofs. Needs a model.
    ///
    /// # Errors
    ///
    /// As many investigations are running as may at once.
    pub fn ask(&self, question: impl Into<String>) -> Result<Investigation, Refused> {
        self.investigate_with(Order::question(question).strategy(Strategy::Pipeline))
    }

    /// What happens in investigations, from now on.
    #[must_use]
    pub fn events(&self) -> Listener {
        self.inner.staff().investigator.events().listen()
    }

    /// Says what is wrong with a script without running it: all that can be told beforehand, in the order of the places;
    /// the caller waits.
    ///
    /// # Errors
    ///
    /// The script could not be checked: too many queries are running.
    pub fn check(&self, script: &str) -> Result<Vec<QueryError>, Box<QueryError>> {
        self.inner.sandbox.check(script, &self.inner.registry).map_err(Box::new)
    }

    /// Samples the service's allocations for `length`, so that `heap.profile()` tells what was allocated meanwhile and is
    /// still alive. It ends by itself, or with this lens.
    ///
    /// Effect: about one allocation in 512 KiB takes 2 to 3 µs longer.
    ///
    /// # Errors
    ///
    /// They are sampled already, `length` is none or more than an hour, or this process has no heap profiles.
    pub fn sample_heap(&self, length: Duration) -> Result<(), SampleHeapError> {
        self.inner.heap.sample(length).map(Held::keep)
    }

    /// The routes of `/debug/lens` to nest in the service's own axum router. They are served by lens's thread all the
    /// same; the service's server only hands requests over, so it must still be able to do that.
    ///
    /// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: lens has to see that a peer is local, and
    /// asks for a token where it cannot.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), lens::Error> {
    /// let lens = lens::Builder::new().no_listener().start()?;
    /// let app: axum::Router = axum::Router::new().nest("/debug/lens", lens.router());
    /// # let _ = app;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "http")]
    pub fn router(&self) -> axum::Router {
        self.server.router()
    }
}

impl Drop for Lens {
    fn drop(&mut self) {
        self.inner.investigations.stop();
        self.inner.heap.stop();
        if let Some((stop, thread)) = self.recording.take() {
            drop(stop);
            // It ends within one skill's deadline; a panic in it has been its end already.
            let _ = thread.join();
        }
    }
}

/// Starts the thread that records metrics every second and looks at the workers in between.
fn record(inner: &Arc<Inner>, runtimes: Runtimes) -> Result<(Sender<()>, JoinHandle<()>), Error> {
    let (stop, stopped) = channel::<()>();
    let inner = Arc::clone(inner);
    let thread = threads::spawn("lens-recorder", None, move || {
        let mut buffers: Vec<Metrics> = inner.registry.entries().map(|_| Metrics::default()).collect();
        let mut next_second = Instant::now();
        loop {
            let now = Instant::now();
            runtimes.sample(now);
            if now >= next_second {
                for (entry, buffer) in inner.registry.entries().zip(&mut buffers) {
                    // A skill that cannot be read leaves a gap; its sources say why.
                    if let Ok(metrics) = entry.metrics(std::mem::take(buffer)) {
                        inner.recorder.record(&entry.about().name, now, &metrics);
                        *buffer = metrics;
                    }
                }
                inner.recorder.tick(now);
                next_second = (next_second + lens_core::recorder::INTERVAL).max(now);
            }
            match stopped.recv_timeout(SAMPLING_INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })?;
    Ok((stop, thread))
}
