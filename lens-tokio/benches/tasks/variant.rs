//! What is compared.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_metrics::TaskMonitor;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    CurrentThread,
    OneWorker,
    TwoWorkers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// tokio alone.
    Plain,
    /// Four hooks that do nothing.
    Hooks,
    /// lens, with its clock ticking.
    Lens,
    /// lens's hooks without a lens that was started.
    LensUnstarted,
    /// lens, each task spawned with its own `spawn`: with the feature `trees`, it can be asked where it waits.
    LensSpawn,
    /// tokio-metrics, each task instrumented.
    TaskMonitor,
}

/// `Plain` is the first.
pub(crate) const ALL: [Variant; 6] =
    [Variant::Plain, Variant::Hooks, Variant::Lens, Variant::LensUnstarted, Variant::LensSpawn, Variant::TaskMonitor];

impl Flavor {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "current thread",
            Self::OneWorker => "one worker",
            Self::TwoWorkers => "two workers",
        }
    }
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Hooks => "empty hooks",
            Self::Lens => "lens",
            Self::LensUnstarted => "lens, not started",
            Self::LensSpawn => "lens::spawn",
            Self::TaskMonitor => "TaskMonitor",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        ALL.into_iter().find(|variant| variant.name() == name).unwrap()
    }

    /// A runtime as the variant has it, and what has to live beside it.
    pub(crate) fn runtime(self, flavor: Flavor) -> (Runtime, Beside) {
        let mut builder = match flavor {
            Flavor::CurrentThread => Builder::new_current_thread(),
            Flavor::OneWorker | Flavor::TwoWorkers => Builder::new_multi_thread(),
        };
        builder.worker_threads(if flavor == Flavor::TwoWorkers { 2 } else { 1 }).enable_all();
        let mut beside = Beside::default();
        match self {
            Self::Plain => {}
            Self::Hooks => {
                builder.on_task_spawn(|_| ()).on_before_task_poll(|_| ());
                builder.on_after_task_poll(|_| ()).on_task_terminate(|_| ());
            }
            Self::Lens | Self::LensSpawn => {
                lens_tokio::instrument(&mut builder);
                beside.ticking = Some(Ticking::start());
                beside.spawner.is_named = self == Self::LensSpawn;
            }
            Self::LensUnstarted => {
                lens_tokio::instrument(&mut builder);
            }
            Self::TaskMonitor => beside.spawner.monitor = Some(TaskMonitor::new()),
        }
        (builder.build().unwrap(), beside)
    }
}

#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) spawner: Spawner,
    ticking: Option<Ticking>,
}

/// How tasks are spawned.
#[derive(Clone, Default)]
pub(crate) struct Spawner {
    pub(crate) monitor: Option<TaskMonitor>,
    /// Whether it is done with lens's own `spawn`.
    pub(crate) is_named: bool,
}

/// The clock ticks while this lives, as in a service that has started lens.
struct Ticking(Option<(Sender<()>, JoinHandle<()>)>);

impl Ticking {
    fn start() -> Self {
        let (stop, stopped) = channel::<()>();
        let mut ticker = lens_tokio::ticker();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                ticker.tick();
            }
        });
        Self(Some((stop, thread)))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            thread.join().unwrap();
        }
    }
}
