//! Investigations that are kept: the newest of them, with their reports, captures and transcripts. Separate because it is a
//! store of fixed size, whoever made what is in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use lens_core::checks::Cancel;
use lens_core::investigation::{Run, Transcript};
use lens_core::{Capture, Report, Store, Timestamp};
#[cfg(feature = "http")]
use serde::Serialize;

use super::{Investigations, MAX_CAPTURES, MAX_INVESTIGATIONS};

#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) entries: VecDeque<Entry>,
    dropped: u64,
    /// The thread of an investigation by checks alone.
    pub(super) thread: Option<JoinHandle<()>>,
}

/// One investigation.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP shows it"))]
    pub(crate) strategy: String,
    /// Whether no model is asked.
    pub(super) is_by_checks: bool,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP shows it"))]
    pub(crate) reason: Option<String>,
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only HTTP shows it"))]
    pub(crate) started_at: Timestamp,
    /// `None` while it runs.
    pub(crate) report: Option<Arc<Report>>,
    /// What a model was told and said.
    pub(crate) transcript: Option<Arc<Transcript>>,
    /// An investigation by a model, while it runs.
    pub(crate) run: Option<Run>,
    /// The captures as files, while they are kept, the report's own first.
    pub(crate) files: Vec<(String, Arc<[u8]>)>,
    bytes: usize,
    pub(super) cancel: Cancel,
}

/// An investigation in a list.
#[cfg(feature = "http")]
#[derive(Serialize)]
pub(crate) struct Summary {
    pub(crate) id: String,
    /// `running`, or what the report says: `ok`, `info`, `warning`, `critical`, `unknown`.
    pub(crate) status: &'static str,
    pub(crate) strategy: String,
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Timestamp,
    /// What is wrong, one sentence an insight; absent while it runs.
    pub(crate) summaries: Option<Vec<String>>,
    /// Whether its capture can still be downloaded.
    pub(crate) has_capture: bool,
}

impl Entry {
    pub(super) fn new(capture: &Capture, strategy: &str, reason: &str, cancel: &Cancel, is_by_checks: bool) -> Self {
        Self {
            id: capture.id().to_owned(),
            strategy: strategy.to_owned(),
            is_by_checks,
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            started_at: capture.at(),
            report: None,
            transcript: None,
            run: None,
            files: Vec::new(),
            bytes: 0,
            cancel: cancel.clone(),
        }
    }

    #[cfg(feature = "http")]
    pub(crate) fn summary(&self) -> Summary {
        let report = self.report.as_ref();
        Summary {
            id: self.id.clone(),
            status: report.map_or("running", |report| report.status()),
            strategy: self.strategy.clone(),
            reason: self.reason.clone(),
            started_at: self.started_at,
            summaries: report.map(|report| report.insights.iter().map(|insight| insight.summary.clone()).collect()),
            has_capture: !self.files.is_empty(),
        }
    }
}

impl Kept {
    pub(super) fn open(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.entries.len() > MAX_INVESTIGATIONS {
            // One that runs is not forgotten before one that has ended.
            let oldest = self.entries.iter().position(|entry| entry.report.is_some()).unwrap_or(0);
            self.entries.remove(oldest);
            self.dropped += 1;
        }
    }

    /// An investigation by a model has begun.
    pub(super) fn running(&mut self, id: &str, run: &Run) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.run = Some(run.clone());
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        self.entries.retain(|entry| entry.id != id);
    }

    pub(super) fn cancel_all(&self) {
        self.entries.iter().for_each(|entry| entry.cancel.cancel());
    }

    pub(super) fn close(
        &mut self,
        id: &str,
        report: &Report,
        transcript: Option<Transcript>,
        files: Vec<(String, Arc<[u8]>)>,
    ) {
        let bytes = serde_json::to_vec(report).map_or(0, |json| json.len())
            + transcript
                .as_ref()
                .and_then(|transcript| serde_json::to_vec(transcript).ok())
                .map_or(0, |json| json.len());
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.report = Some(Arc::new(report.clone()));
            entry.transcript = transcript.map(Arc::new);
            entry.run = None;
            entry.files = files;
            entry.bytes = bytes;
        }
        let with_files = self.entries.iter_mut().rev().filter(|entry| !entry.files.is_empty());
        with_files.skip(MAX_CAPTURES).for_each(|entry| entry.files.clear());
    }
}

/// Captures as files. What cannot be saved cannot be downloaded; the report is as good without.
pub(super) fn files(captures: &[Arc<Capture>]) -> Vec<(String, Arc<[u8]>)> {
    let file = |capture: &Arc<Capture>| {
        let mut file = Vec::new();
        capture.save(&mut file).ok().map(|()| (capture.id().to_owned(), Arc::from(file)))
    };
    captures.iter().filter_map(file).collect()
}

impl Investigations {
    /// Everything of investigations that takes memory or threads.
    pub(crate) fn stores(&self) -> Vec<Store> {
        let mut stores = vec![self.store()];
        stores.extend(self.sandbox.stores_of("checks"));
        if let Some(staff) = self.staff() {
            stores.extend([staff.investigator.events().store(), staff.schedules.store()]);
            stores.extend(staff.investigator.stores());
        }
        stores
    }

    /// What is kept, and how much memory it takes.
    fn store(&self) -> Store {
        let kept = self.lock();
        let bytes = |entry: &Entry| entry.bytes + entry.files.iter().map(|(_, file)| file.len()).sum::<usize>();
        Store {
            name: "investigations".into(),
            len_count: kept.entries.len() as u64,
            cap_count: MAX_INVESTIGATIONS as u64,
            memory_bytes: kept.entries.iter().map(bytes).sum::<usize>() as u64,
            dropped_total: kept.dropped,
        }
    }
}
