//! Diagnoses: run now, or started, listed and cancelled. Separate from the handle because reports outlive the call that
//! asked for them, and so need a place of fixed size.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lens_core::checks::{Cancel, Checks, Examination};
use lens_core::sandbox::{Limits, Sandbox};
use lens_core::{Capture, Recorder, Registry, Report, Store, Timestamp};
#[cfg(feature = "http")]
use serde::Serialize;

#[cfg(feature = "http")]
pub(crate) use background::Refusal;

/// How many reports are kept, the newest. More takes memory, some kilobytes each; fewer forgets sooner.
pub const MAX_INVESTIGATIONS: usize = 16;

/// Of how many investigations the capture is kept, the newest. Each takes as much memory as its file.
pub const MAX_CAPTURES: usize = 2;

/// How long one check may take, and each of its facts. More lets heavy ones finish on a busy machine; less answers sooner.
pub const CHECK_WALL: Duration = Duration::from_secs(2);

/// How long all checks may take for `findings`, whose caller waits; what is found until then is answered.
pub const FINDINGS_DEADLINE: Duration = Duration::from_secs(5);

/// The longest reason that is kept; what is longer is cut.
pub const MAX_REASON_BYTES: usize = 1_000;

/// What diagnoses, and what it found.
#[derive(Debug)]
pub(crate) struct Investigations {
    pub(crate) checks: Checks,
    /// Where checks are evaluated: of their own, so that queries of others do not keep them waiting.
    pub(crate) sandbox: Sandbox,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    dropped: u64,
    #[cfg(feature = "http")]
    thread: Option<std::thread::JoinHandle<()>>,
}

/// One investigation.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP shows it"))]
    pub(crate) reason: Option<String>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP shows it"))]
    pub(crate) started_at: Timestamp,
    /// `None` while it runs.
    pub(crate) report: Option<Arc<Report>>,
    /// The capture as a file, while it is kept.
    pub(crate) file: Option<Arc<[u8]>>,
    bytes: usize,
    cancel: Cancel,
}

/// An investigation in a list.
#[cfg(feature = "http")]
#[derive(Serialize)]
pub(crate) struct Summary {
    pub(crate) id: String,
    /// `running`, or what the report says: `ok`, `info`, `warning`, `critical`, `unknown`.
    pub(crate) status: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Timestamp,
    /// What is wrong, one sentence an insight; absent while it runs.
    pub(crate) summaries: Option<Vec<String>>,
    /// Whether its capture can still be downloaded.
    pub(crate) has_capture: bool,
}

#[cfg(feature = "http")]
impl Entry {
    pub(crate) fn summary(&self) -> Summary {
        let report = self.report.as_ref();
        Summary {
            id: self.id.clone(),
            status: report.map_or("running", |report| report.status()),
            reason: self.reason.clone(),
            started_at: self.started_at,
            summaries: report.map(|report| report.insights.iter().map(|insight| insight.summary.clone()).collect()),
            has_capture: self.file.is_some(),
        }
    }
}

impl Investigations {
    pub(crate) fn new(checks: Checks) -> Self {
        let mut limits = Limits::default();
        limits.wall = CHECK_WALL;
        Self { checks, sandbox: Sandbox::new(limits), kept: Mutex::default() }
    }

    /// Runs all checks over `capture`; nothing is kept.
    pub(crate) fn examine(&self, capture: &Arc<Capture>) -> Report {
        let mut examination = Examination::new(&self.sandbox);
        examination.deadline = FINDINGS_DEADLINE;
        examination.run(&self.checks, capture, None)
    }

    /// Runs all checks over a capture of now, and keeps the report and the capture. The caller waits.
    pub(crate) fn investigate(&self, registry: &Arc<Registry>, recorder: &Arc<Recorder>, reason: String) -> Report {
        let capture = Arc::new(Capture::frozen(registry, recorder));
        let examination = Examination::new(&self.sandbox);
        self.open(&capture, &reason, &examination.cancel);
        self.finish(&capture, &examination, reason)
    }

    fn open(&self, capture: &Capture, reason: &str, cancel: &Cancel) {
        let entry = Entry {
            id: capture.id().to_owned(),
            reason: some(reason.to_owned()),
            started_at: capture.at(),
            report: None,
            file: None,
            bytes: 0,
            cancel: cancel.clone(),
        };
        let mut kept = self.lock();
        kept.entries.push_back(entry);
        if kept.entries.len() > MAX_INVESTIGATIONS {
            kept.entries.pop_front();
            kept.dropped += 1;
        }
    }

    fn finish(&self, capture: &Arc<Capture>, examination: &Examination, reason: String) -> Report {
        let report = examination.run(&self.checks, capture, some(reason));
        let mut file = Vec::new();
        // What cannot be saved cannot be downloaded; the report is as good without.
        let file = capture.save(&mut file).is_ok().then(|| Arc::from(file));
        let bytes = serde_json::to_vec(&report).map_or(0, |json| json.len());
        let mut kept = self.lock();
        if let Some(entry) = kept.entries.iter_mut().find(|entry| entry.id == capture.id()) {
            entry.report = Some(Arc::new(report.clone()));
            entry.file = file;
            entry.bytes = bytes;
        }
        let with_file = kept.entries.iter_mut().rev().filter(|entry| entry.file.is_some());
        with_file.skip(MAX_CAPTURES).for_each(|entry| entry.file = None);
        report
    }

    /// What is kept, and how much memory it takes.
    pub(crate) fn store(&self) -> Store {
        let kept = self.lock();
        let bytes = |entry: &Entry| entry.bytes + entry.file.as_ref().map_or(0, |file| file.len());
        Store {
            name: "investigations".into(),
            len_count: kept.entries.len() as u64,
            cap_count: MAX_INVESTIGATIONS as u64,
            memory_bytes: kept.entries.iter().map(bytes).sum::<usize>() as u64,
            dropped_total: kept.dropped,
        }
    }

    /// Ends those that run.
    pub(crate) fn stop(&self) {
        self.lock().entries.iter().for_each(|entry| entry.cancel.cancel());
        #[cfg(feature = "http")]
        self.join();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason, if there is one, cut to what is kept.
fn some(mut reason: String) -> Option<String> {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    (!reason.is_empty()).then_some(reason)
}

/// How long an investigation may take that somebody starts.
#[cfg(feature = "http")]
pub(crate) const MAX_DEADLINE: Duration = Duration::from_secs(60);

#[cfg(feature = "http")]
mod background {
    //! Investigations that nobody waits for: what HTTP offers.

    use std::sync::Arc;
    use std::time::Duration;

    use lens_core::checks::Examination;
    use lens_core::{Capture, Recorder, Registry, threads};

    use super::{Entry, Investigations};

    /// Why nothing was started or cancelled.
    #[derive(Debug)]
    pub(crate) enum Refusal {
        /// One runs already: this one.
        Running(String),
        /// There is none of this id, or it was forgotten.
        Unknown,
        /// It has ended.
        Ended,
        /// The operating system gives no thread.
        NoThread(lens_core::Error),
    }

    impl Investigations {
        /// Starts an investigation on a thread of its own, one at a time, and gives its id.
        pub(crate) fn start(
            self: &Arc<Self>,
            registry: &Arc<Registry>,
            recorder: &Arc<Recorder>,
            reason: String,
            deadline: Duration,
        ) -> Result<String, Refusal> {
            if let Some(running) = self.list().into_iter().find(|entry| entry.report.is_none()) {
                return Err(Refusal::Running(running.id));
            }
            let capture = Arc::new(Capture::frozen(registry, recorder));
            let id = capture.id().to_owned();
            let mut examination = Examination::new(&self.sandbox);
            examination.deadline = deadline;
            self.open(&capture, &reason, &examination.cancel);
            let this = Arc::clone(self);
            let started = threads::spawn("lens-examine", None, move || {
                this.finish(&capture, &examination, reason);
            });
            match started {
                Ok(thread) => {
                    // The one before has ended: it has a report.
                    self.lock().thread = Some(thread);
                    Ok(id)
                }
                Err(error) => {
                    self.lock().entries.retain(|entry| entry.id != id);
                    Err(Refusal::NoThread(error))
                }
            }
        }

        /// Every investigation that is kept, the newest first.
        pub(crate) fn list(&self) -> Vec<Entry> {
            self.lock().entries.iter().rev().cloned().collect()
        }

        pub(crate) fn get(&self, id: &str) -> Result<Entry, Refusal> {
            self.lock().entries.iter().find(|entry| entry.id == id).cloned().ok_or(Refusal::Unknown)
        }

        pub(crate) fn cancel(&self, id: &str) -> Result<(), Refusal> {
            let entry = self.get(id)?;
            if entry.report.is_some() {
                return Err(Refusal::Ended);
            }
            entry.cancel.cancel();
            Ok(())
        }

        pub(super) fn join(&self) {
            let thread = self.lock().thread.take();
            if let Some(thread) = thread {
                // A panic in it has been its end already.
                let _ = thread.join();
            }
        }
    }
}
