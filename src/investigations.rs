//! Diagnoses: run now, or started, listed and cancelled. Separate from the handle because reports outlive the call that
//! asked for them, and so need a place of fixed size.

mod kept;
mod started;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lens_core::checks::{Checks, Examination};
use lens_core::investigation::{Investigator, Room, Schedules, Settings, Strategy};
use lens_core::sandbox::{Limits, Sandbox};
use lens_core::{Capture, Recorder, Registry, Report};

use crate::error::Error;
use kept::Kept;
#[cfg(feature = "http")]
pub(crate) use kept::{Entry, Summary};
pub use started::{Investigation, Refused};

/// How many reports are kept, the newest. More takes memory, some kilobytes each, and up to a megabyte where a model was
/// asked; fewer forgets sooner.
pub const MAX_INVESTIGATIONS: usize = 16;

/// Of how many investigations the captures are kept, the newest. Each capture takes as much memory as its file.
pub const MAX_CAPTURES: usize = 2;

/// How long one check may take, and each of its facts. More lets heavy ones finish on a busy machine; less answers sooner.
pub const CHECK_WALL: Duration = Duration::from_secs(2);

/// How long all checks may take for `findings`, whose caller waits; what is found until then is answered.
pub const FINDINGS_DEADLINE: Duration = Duration::from_secs(5);

/// The longest reason that is kept; what is longer is cut.
pub const MAX_REASON_BYTES: usize = 1_000;

/// How long the checks may take if somebody asks for longer than they usually may.
const MAX_CHECKS_DEADLINE: Duration = Duration::from_secs(60);

/// 4 investigations that a model is asked for run at once; further ones are refused. More answers more people at once, and
/// costs more.
pub const MAX_MODEL_INVESTIGATIONS: usize = 4;

/// What diagnoses, and what it found.
#[derive(Debug)]
pub(crate) struct Investigations {
    pub(crate) checks: Arc<Checks>,
    /// Where checks are evaluated: of their own, so that queries of others do not keep them waiting.
    pub(crate) sandbox: Sandbox,
    /// Who investigates beyond the checks; nobody does over a file.
    staff: Option<Staff>,
    kept: Mutex<Kept>,
}

/// Who investigates beyond the checks.
#[derive(Debug)]
pub(crate) struct Staff {
    pub(crate) investigator: Investigator,
    registry: Arc<Registry>,
    recorder: Arc<Recorder>,
    place: Mutex<Place>,
    pub(crate) schedules: Schedules,
}

/// Where investigations beyond the checks run.
#[derive(Debug)]
enum Place {
    /// Nobody has needed it yet.
    Unopened,
    Open(Room),
    /// lens has stopped.
    Closed,
}

impl Place {
    /// The room, opened if it is not; none after the end.
    fn room(&mut self) -> Result<Option<&Room>, lens_core::Error> {
        if matches!(self, Self::Unopened) {
            *self = Self::Open(Room::open()?);
        }
        Ok(match self {
            Self::Open(room) => Some(room),
            Self::Unopened | Self::Closed => None,
        })
    }
}

impl Staff {
    fn place(&self) -> MutexGuard<'_, Place> {
        // Nothing panics while it is held.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` where models are asked; dropped at once if lens has stopped.
    #[cfg(feature = "http")]
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(Some(room)) = self.place().room() {
            room.spawn(work);
        }
    }
}

impl Investigations {
    pub(crate) fn new(checks: Checks) -> Self {
        let mut limits = Limits::default();
        limits.wall = CHECK_WALL;
        Self { checks: Arc::new(checks), sandbox: Sandbox::new(limits), staff: None, kept: Mutex::default() }
    }

    /// Lets investigations be made beyond the checks, as `settings` say. Scripts of models run in `queries`.
    pub(crate) fn staffed(
        mut self,
        settings: Settings,
        registry: &Arc<Registry>,
        recorder: &Arc<Recorder>,
        queries: &Sandbox,
    ) -> Result<Self, Error> {
        let mut place = Place::Unopened;
        if settings.model.is_some() || matches!(settings.strategy, Strategy::Own(_)) {
            // A lens that cannot have it does not start.
            place.room()?;
        }
        let investigator = Investigator::new(settings, registry, recorder, &self.checks, queries);
        self.staff = Some(Staff {
            investigator,
            registry: Arc::clone(registry),
            recorder: Arc::clone(recorder),
            place: Mutex::new(place),
            schedules: Schedules::default(),
        });
        Ok(self)
    }

    pub(crate) fn staff(&self) -> Option<&Staff> {
        self.staff.as_ref()
    }

    /// Runs all checks over `capture`; nothing is kept.
    pub(crate) fn examine(&self, capture: &Arc<Capture>) -> Report {
        let mut examination = Examination::new(&self.sandbox);
        examination.deadline = FINDINGS_DEADLINE;
        examination.run(&self.checks, capture, None)
    }

    /// Ends those that run.
    pub(crate) fn stop(&self) {
        let thread = {
            let mut kept = self.lock();
            kept.cancel_all();
            kept.thread.take()
        };
        if let Some(staff) = &self.staff {
            // What runs there is dropped. It is joined without the lock, which a task there may want.
            let place = std::mem::replace(&mut *staff.place(), Place::Closed);
            drop(place);
        }
        if let Some(thread) = thread {
            // A panic in it has been its end already.
            let _ = thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason, cut to what is kept.
fn shortened(mut reason: String) -> String {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}
