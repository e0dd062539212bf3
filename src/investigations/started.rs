//! Investigations under way: started by Rust or HTTP, waited for or not, and ended. Separate because here is what happens at
//! once, on which thread, and who is told.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use lens_core::checks::{CHECKS_DEADLINE, Cancel, Examination};
use lens_core::evidence::EndedBy;
use lens_core::investigation::{FollowUp, Order, Outcome, Scheduled, Strategy};
use lens_core::{Capture, Report, threads};
use tokio::sync::oneshot;

#[cfg(feature = "http")]
use super::Entry;
use super::kept::{self, files};
use super::{Investigations, MAX_CHECKS_DEADLINE, MAX_MODEL_INVESTIGATIONS, Staff, shortened};

/// Why nothing was started or cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// As many run as may at once: this one, among others.
    #[error("an investigation is running: {id}; wait for it, or cancel it")]
    Running {
        /// Its id.
        id: String,
    },
    /// There is none of this id, or it was forgotten.
    #[error("there is no such investigation, or it was forgotten")]
    Unknown,
    /// It has ended.
    #[error("this investigation has ended already")]
    Ended,
    /// lens has stopped.
    #[error("lens has stopped")]
    Stopped,
    /// The operating system gives no thread.
    #[error(transparent)]
    NoThread(#[from] lens_core::Error),
}

/// An investigation under way: a future of its report. Dropping it cancels the investigation.
#[derive(Debug)]
#[must_use = "dropping an investigation cancels it"]
pub struct Investigation {
    id: String,
    cancel: Option<Cancel>,
    report: oneshot::Receiver<Report>,
}

impl Investigation {
    /// What it is kept by, at `/debug/lens/investigations/{id}`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Lets it go on without anybody waiting for it, and gives its id.
    #[must_use = "the id is what is left to find it by"]
    pub fn detach(mut self) -> String {
        self.cancel = None;
        std::mem::take(&mut self.id)
    }

    /// Ends it; its report, which has what was found until then, is kept.
    pub fn cancel(&self) {
        if let Some(cancel) = &self.cancel {
            cancel.cancel();
        }
    }

    /// Waits for the report; the calling thread does nothing else.
    ///
    /// In a task, await the investigation instead.
    ///
    /// # Errors
    ///
    /// lens was stopped meanwhile.
    pub fn wait(mut self) -> Result<Report, Refused> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(report) => return report,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Future for Investigation {
    type Output = Result<Report, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.report).poll(context).map(|report| {
            self.cancel = None;
            report.map_err(|_| Refused::Stopped)
        })
    }
}

impl Drop for Investigation {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Investigations {
    /// Starts an investigation.
    pub(crate) fn start(self: &Arc<Self>, mut order: Order) -> Result<Investigation, Refused> {
        let staff = self.staff().ok_or(Refused::Stopped)?;
        order.reason = shortened(staff.investigator.settings().redactor.text(&order.reason));
        let strategy = order.strategy.clone().unwrap_or_else(|| staff.investigator.settings().strategy.clone());
        let capture = Arc::new(Capture::frozen(&staff.registry, &staff.recorder));
        let (report, reported) = oneshot::channel();
        let cancel = Cancel::new();
        let by_checks = match &strategy {
            Strategy::Checks => true,
            Strategy::Own(_) => false,
            _ => staff.investigator.settings().model.is_none(),
        };
        self.open(&capture, &strategy, &order.reason, &cancel, by_checks)?;
        let started = match by_checks {
            true => self.start_checks(capture.clone(), order, &strategy, &cancel, report),
            false => self.start_model(staff, &capture, order, &cancel, report),
        };
        if let Err(error) = started {
            self.lock().forget(capture.id());
            return Err(error);
        }
        Ok(Investigation { id: capture.id().to_owned(), cancel: Some(cancel), report: reported })
    }

    /// Investigates as the lens does unless told otherwise, and waits; by the checks alone, on the calling thread, if as many
    /// investigations are running as may.
    pub(crate) fn investigate(self: &Arc<Self>, staff: &Staff, reason: String) -> Report {
        if let Ok(investigation) = self.start(Order::new(reason.clone()))
            && let Ok(report) = investigation.wait()
        {
            return report;
        }
        let capture = Arc::new(Capture::frozen(&staff.registry, &staff.recorder));
        let examination = Examination::new(&self.sandbox);
        let reason = shortened(staff.investigator.settings().redactor.text(&reason));
        let strategy = Strategy::Checks;
        self.lock().open(kept::Entry::new(&capture, strategy.name(), &reason, &examination.cancel, true));
        let report = examination.run(&self.checks, &capture, Some(reason).filter(|reason| !reason.is_empty()));
        let files = files(std::slice::from_ref(&capture));
        self.lock().close(capture.id(), &report, None, files);
        report
    }

    /// Keeps a place for an investigation, if one may run now.
    fn open(
        &self,
        capture: &Capture,
        strategy: &Strategy,
        reason: &str,
        cancel: &Cancel,
        by_checks: bool,
    ) -> Result<(), Refused> {
        let mut kept = self.lock();
        let alike = kept.entries.iter().filter(|other| other.report.is_none() && other.is_by_checks == by_checks);
        let running: Vec<String> = alike.map(|other| other.id.clone()).collect();
        let most = if by_checks { 1 } else { MAX_MODEL_INVESTIGATIONS };
        if running.len() >= most {
            return Err(Refused::Running { id: running.into_iter().next().unwrap_or_default() });
        }
        kept.open(kept::Entry::new(capture, strategy.name(), reason, cancel, by_checks));
        Ok(())
    }

    /// The checks alone, on a thread of their own.
    fn start_checks(
        self: &Arc<Self>,
        capture: Arc<Capture>,
        order: Order,
        strategy: &Strategy,
        cancel: &Cancel,
        report: oneshot::Sender<Report>,
    ) -> Result<(), Refused> {
        let mut examination = Examination::new(&self.sandbox);
        // What a lens allows for models is no wish of whoever asks for the checks.
        let wanted = order.budget.map(|budget| budget.deadline);
        examination.deadline = wanted.unwrap_or(CHECKS_DEADLINE).min(MAX_CHECKS_DEADLINE);
        examination.cancel = cancel.clone();
        let needs_model = (*strategy != Strategy::Checks).then(|| strategy.name().to_owned());
        let this = Arc::clone(self);
        let thread = threads::spawn("lens-examine", None, move || {
            let reason = Some(order.reason).filter(|reason| !reason.is_empty());
            let mut found = examination.run(&this.checks, &capture, reason);
            if let Some(strategy) = needs_model {
                found.strategy = strategy;
                if found.ended_by == EndedBy::Completion {
                    found.ended_by = EndedBy::NoModel;
                }
            }
            // Saving asks the skill `lens` what is kept here.
            let files = files(std::slice::from_ref(&capture));
            this.lock().close(capture.id(), &found, None, files);
            // Nobody may wait for it.
            let _ = report.send(found);
        })?;
        // The one before has ended: it has a report.
        self.lock().thread = Some(thread);
        Ok(())
    }

    /// With a model, in its room.
    fn start_model(
        self: &Arc<Self>,
        staff: &Staff,
        capture: &Arc<Capture>,
        order: Order,
        cancel: &Cancel,
        report: oneshot::Sender<Report>,
    ) -> Result<(), Refused> {
        let mut place = staff.place();
        let room = place.room()?.ok_or(Refused::Stopped)?;
        let (this, investigator) = (Arc::downgrade(self), staff.investigator.clone());
        let (capture, cancel) = (Arc::clone(capture), cancel.clone());
        room.spawn(async move {
            let run = investigator.begin(&capture, order);
            if let Some(this) = this.upgrade() {
                this.lock().running(capture.id(), &run);
            }
            let outcome = investigator.conduct(&run, &cancel).await;
            let Some(this) = this.upgrade() else { return };
            this.keep(&capture, outcome, report);
        });
        Ok(())
    }

    /// Keeps what came of an investigation with a model.
    fn keep(self: &Arc<Self>, capture: &Arc<Capture>, mut outcome: Outcome, report: oneshot::Sender<Report>) {
        let scheduled = outcome.follow_up.as_ref().and_then(|follow_up| {
            let staff = self.staff()?;
            let scheduled = staff.schedules.add(follow_up, capture.id())?;
            staff.investigator.announce_schedule(capture.id(), &scheduled, follow_up);
            self.await_schedule(&scheduled, follow_up);
            Some(scheduled.id)
        });
        if let Some(model) = &mut outcome.report.model {
            model.follow_up = scheduled;
        }
        // Writing captures takes a moment, which the room's other investigations should not have to wait.
        let (this, id) = (Arc::clone(self), capture.id().to_owned());
        let close = move |with_files: bool| {
            let files = if with_files { files(&outcome.captures) } else { Vec::new() };
            this.lock().close(&id, &outcome.report, Some(outcome.transcript), files);
            // Nobody may wait for it.
            let _ = report.send(outcome.report);
        };
        let work = Arc::new(std::sync::Mutex::new(Some(close)));
        let later = Arc::clone(&work);
        let take = |work: &std::sync::Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let started = self.sandbox.start_work(
            move || {
                if let Some(close) = take(&later) {
                    close(true);
                }
            },
            |_| {},
        );
        // All places are taken: the report is as good without its captures.
        if started.is_err()
            && let Some(close) = take(&work)
        {
            close(false);
        }
    }

    /// Has a scheduled investigation begin when its time has come, unless it is cancelled before.
    fn await_schedule(self: &Arc<Self>, scheduled: &Scheduled, follow_up: &FollowUp) {
        let Some(staff) = self.staff() else { return };
        let mut place = staff.place();
        let Ok(Some(room)) = place.room() else { return };
        let (this, id) = (Arc::downgrade(self), scheduled.id.clone());
        let FollowUp { delay, order, .. } = follow_up.clone();
        room.spawn(async move {
            tokio::time::sleep(delay).await;
            let Some(this) = this.upgrade() else { return };
            if this.staff().and_then(|staff| staff.schedules.take(&id)).is_none() {
                return;
            }
            // Refused if too many run: a schedule is no promise.
            if let Ok(investigation) = this.start(order) {
                let _ = investigation.detach();
            }
        });
    }

    /// Every investigation that is kept, the newest first.
    #[cfg(feature = "http")]
    pub(crate) fn list(&self) -> Vec<Entry> {
        self.lock().entries.iter().rev().cloned().collect()
    }

    #[cfg(feature = "http")]
    pub(crate) fn get(&self, id: &str) -> Result<Entry, Refused> {
        self.lock().entries.iter().find(|entry| entry.id == id).cloned().ok_or(Refused::Unknown)
    }

    #[cfg(feature = "http")]
    pub(crate) fn cancel(&self, id: &str) -> Result<(), Refused> {
        let entry = self.get(id)?;
        if entry.report.is_some() {
            return Err(Refused::Ended);
        }
        entry.cancel.cancel();
        Ok(())
    }
}
