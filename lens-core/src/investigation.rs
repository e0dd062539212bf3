//! Investigations by a model, on a short leash: the model explores, code decides what counts as a fact. Separate from the
//! checks, with which every investigation begins, and from the evidence, in whose words it ends: whatever goes wrong with
//! the model, what the checks found is answered, and the report says what ended it.
//!
//! # What holds
//!
//! - A sentence of a model is shown as a fact only if its expression was evaluated in a capture of the investigation, every
//!   number and place of it is in the value, none of its numbers merely stands in the expression, and its words are of what
//!   is asked. The remedy comes from a check or a table, the severity has a floor and without a check a ceiling, grounding
//!   and confidence are computed.
//! - Data of the service is sent as JSON in messages of the user, cut and without secrets, and never in the system prompt.
//! - One [`Budget`] is shared by all who take part, and asked before each call. Cancelling and the deadline end everything
//!   at once; what was found until then is in the report.
//! - Everything runs on a thread of lens ([`Room`]), never on the service's runtime.

mod agent;
mod budget;
mod claims;
mod compaction;
mod conclude;
mod envelope;
mod events;
mod operator;
mod payload;
mod pipeline;
mod prompts;
mod question;
mod room;
mod run;
mod schedule;
mod settings;
mod spans;
mod talk;
mod told;
mod tools;
mod transcript;
mod words;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

pub use agent::MAX_OPERATORS;
pub use budget::{
    Budget, DEFAULT_AUTOMATIC_RUNS_PER_HOUR, DEFAULT_CAPTURES, DEFAULT_DEADLINE, DEFAULT_ITERATIONS, DEFAULT_REQUESTS,
    DEFAULT_ROWS, DEFAULT_RUNS_PER_HOUR, DEFAULT_TOKENS, DEFAULT_TOKENS_PER_DAY, DEFAULT_TOOL_CALLS, MAX_DEADLINE,
    MIN_DEADLINE, Quota,
};
pub use compaction::{COMPACT_TOKENS, KEEP_LAST};
pub use events::{Event, Events, Happened, Listener, MAX_EVENTS};
pub use operator::MAX_WAIT;
pub use payload::{HOLD_TEXT, MAX_RESULT_BYTES, MAX_TEXT_BYTES};
pub use pipeline::{GATHER_SHARE, MAX_SKILLS};
pub use question::MAX_TURNS;
pub use room::Room;
pub use run::{MAX_SNAPSHOTS, MAX_STATED_FINDINGS, Run};
pub use schedule::{FollowUp, MAX_CHAIN_DEPTH, MAX_DELAY, MAX_SCHEDULES, MIN_DELAY, Scheduled, Schedules};
pub use settings::{Approach, Approaching, Order, Settings, Strategy};
pub use spans::{SPANS, TARGET};
pub use talk::{CALL_DEADLINE, MAX_ANSWER_TOKENS, MAX_RETRIES, MAX_RETRY_DELAY, RETRY_DELAY, RETRY_FACTOR};
pub use transcript::{Entry, MAX_TRANSCRIPT_BYTES, Step, Transcript};

use crate::capture::Capture;
use crate::checks::{CHECKS_DEADLINE, Cancel, Checks, Examination};
use crate::evidence::{EndedBy, Report};
use crate::recorder::Recorder;
use crate::registry::Registry;
use crate::sandbox::{DEFAULT_CONCURRENCY, Limits, Sandbox};
use crate::store::Store;
use crate::time::millis;
use budget::{Ledger, Process};
use pipeline::COORDINATOR;
use run::Service;

/// Investigates one service, any number of times. Clones share what the process may use.
#[derive(Clone, Debug)]
pub struct Investigator {
    settings: Arc<Settings>,
    service: Service,
    process: Arc<Process>,
    events: Events,
}

/// What an investigation gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What was found, and what ended it.
    pub report: Report,
    /// What was sent to the model and what it answered.
    pub transcript: Transcript,
    /// The captures that the report's facts are true in, its own first.
    pub captures: Vec<Arc<Capture>>,
    /// An investigation that the model wants to follow.
    pub follow_up: Option<FollowUp>,
}

impl Investigator {
    /// An investigator of the service that `registry` and `recorder` know. Scripts of models are evaluated in `queries`,
    /// which nobody else should use; those of checks may use as much as they, but run in a place of their own.
    #[must_use]
    pub fn new(
        settings: Settings,
        registry: &Arc<Registry>,
        recorder: &Arc<Recorder>,
        checks: &Arc<Checks>,
        queries: &Sandbox,
    ) -> Self {
        // All checks are one piece of work.
        let limits = Limits { work_wall: CHECKS_DEADLINE * 2, ..Limits::default() };
        let of_checks = Limits { concurrency: DEFAULT_CONCURRENCY, ..queries.limits().clone() };
        // One place is left for a thread that is about to end.
        let places = queries.limits().concurrency.saturating_sub(1).clamp(1, DEFAULT_CONCURRENCY);
        let process = Arc::new(Process::new(settings.quota.clone()));
        let service = Service {
            registry: Arc::clone(registry),
            recorder: Arc::clone(recorder),
            checks: Arc::clone(checks),
            queries: queries.clone(),
            work: Sandbox::new(limits),
            checking: Sandbox::new(of_checks),
            places: Arc::new(Semaphore::new(places)),
        };
        Self { settings: Arc::new(settings), service, process, events: Events::default() }
    }

    /// How investigations are done.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happens in all investigations.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The threads that evaluate for investigations, and those of them that did not end in time.
    #[must_use]
    pub fn stores(&self) -> Vec<Store> {
        let Service { queries, work, checking, .. } = &self.service;
        let of =
            [(queries, "queries of models"), (checking, "checks of investigations"), (work, "work of investigations")];
        let stores = of.into_iter().flat_map(|(sandbox, what)| sandbox.stores_of(what));
        // Whoever finds no place waits for one and asks again: nothing is dropped.
        stores.map(|store| Store { dropped_total: 0, ..store }).collect()
    }

    /// Tells who listens that an investigation is to follow another.
    pub fn announce_schedule(&self, follows: &str, scheduled: &Scheduled, follow_up: &FollowUp) {
        let event = Event::Scheduled { id: scheduled.id.clone(), delay_ms: millis(follow_up.delay) };
        self.events.announce(follows, COORDINATOR, event);
    }

    /// Begins an investigation of `capture`; its time runs from now on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn begin(&self, capture: &Arc<Capture>, order: Order) -> Run {
        let budget = order.budget.clone().unwrap_or_else(|| self.settings.budget.clone());
        let ledger = Arc::new(Ledger::new(budget, &self.process));
        let (settings, service) = (Arc::clone(&self.settings), self.service.clone());
        Run::new(order, settings, service, ledger, self.events.clone(), Arc::clone(capture))
    }

    /// Carries an investigation out: the checks first, then its strategy. Dropping the future ends everything that belongs
    /// to it; cancelling, the deadline, a budget or a failure end it with a report.
    pub async fn conduct(&self, run: &Run, cancel: &Cancel) -> Outcome {
        let span = spans::workflow(run.strategy().name(), run.id());
        self.conducted(run, cancel).instrument(span).await
    }

    async fn conducted(&self, run: &Run, cancel: &Cancel) -> Outcome {
        let started = Instant::now();
        let _ending = Ending(run);
        let strategy = run.strategy().clone();
        let is_automatic = run.0.order.chain_depth > 0;
        run.announce(COORDINATOR, Event::Started { strategy: strategy.name().to_owned(), is_automatic });
        let checked = self.check(run, cancel).await;
        run.announce(COORDINATOR, Event::Checked { findings: checked.findings().count() });
        let checks_ended = checked.ended_by.clone();
        // Nobody else sets it.
        let _ = run.0.checked.set(checked);
        run.keep_checked();
        let ended_by = match strategy {
            _ if cancel.is_cancelled() => EndedBy::Cancellation,
            Strategy::Checks => EndedBy::Completion,
            Strategy::Pipeline | Strategy::AgentLoop if self.settings.model.is_none() => EndedBy::NoModel,
            strategy => match self.process.begin(is_automatic) {
                Err(resource) => {
                    run.exhausted(resource);
                    EndedBy::Budget(resource)
                }
                Ok(()) => Self::pursue(run, strategy, cancel).await,
            },
        };
        let ended_by = if ended_by == EndedBy::Completion { checks_ended } else { ended_by };
        run.end(&ended_by);
        let report = conclude::report(run, ended_by, millis(started.elapsed()));
        run.announce(
            COORDINATOR,
            Event::Ended {
                ended_by: report.ended_by.clone(),
                status: report.status().to_owned(),
                tokens: run.0.ledger.spent().tokens(),
            },
        );
        let found: Vec<String> = report.insights.iter().map(|insight| run.told_insight(insight)).collect();
        let mut state = run.state();
        let captures = state.captures.clone();
        let mut follow_up = state.follow_up.take();
        if let Some(follow_up) = &mut follow_up {
            follow_up.order.follows = Some((run.id().to_owned(), found));
        }
        Outcome { report, transcript: std::mem::take(&mut state.transcript), captures, follow_up }
    }

    /// Evaluates the checks, on a thread that may take its time.
    async fn check(&self, run: &Run, cancel: &Cancel) -> Report {
        let mut examination = Examination::new(&self.service.checking);
        examination.deadline = CHECKS_DEADLINE.min(run.0.ledger.left());
        examination.cancel = cancel.clone();
        let reason = Some(run.reason()).filter(|reason| !reason.is_empty());
        let (checks, capture, asked) = (Arc::clone(&self.service.checks), Arc::clone(run.capture()), reason.clone());
        let examined = run.work(move || examination.run(&checks, &capture, asked.clone())).await;
        examined.unwrap_or_else(|_| Report::unfinished(run.capture(), reason, EndedBy::Deadline))
    }

    /// Follows a strategy until it ends, by itself or not.
    async fn pursue(run: &Run, strategy: Strategy, cancel: &Cancel) -> EndedBy {
        let ends_at = run.0.ledger.ends_at;
        let mut work = JoinSet::new();
        let own = run.clone();
        let pursued = async move {
            match strategy {
                Strategy::Checks => Ok(()),
                Strategy::Pipeline => pipeline::investigate(&own).await,
                Strategy::AgentLoop => agent::investigate(&own).await,
                Strategy::Own(approach) => approach.investigate(&own).await,
            }
        };
        work.spawn(pursued.instrument(tracing::Span::current()));
        // Dropping `work` ends all that belongs to it, if whoever waits here is gone.
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => EndedBy::Cancellation,
            () = tokio::time::sleep_until(ends_at) => EndedBy::Deadline,
            ended = work.join_next() => match ended {
                Some(Ok(Err(ended))) => ended,
                Some(Ok(Ok(()))) | None => EndedBy::Completion,
                Some(Err(error)) => EndedBy::Panic(run.redacted(&panicked(error))),
            },
        };
        // Operators that are about to go on must not, once the report says what was used.
        work.shutdown().await;
        ended
    }
}

/// An investigation that is conducted; if that is dropped, it is cancelled.
struct Ending<'a>(&'a Run);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end(&EndedBy::Cancellation);
    }
}

fn panicked(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => crate::registry::panic_message(&*payload),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
