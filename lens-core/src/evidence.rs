//! What a diagnosis is made of: facts that a machine has evaluated, findings that name a cause and a place, and insights
//! that put findings of one incident together. Separate because whoever diagnoses (checks, a model, a person) speaks in
//! these words, and only facts of this module are ever shown as facts.

mod advice;
mod cause;
mod correlate;
mod fact;
mod finding;
mod grounds;
mod insight;
mod literals;
mod report;
mod rules;
mod text;

pub use cause::Cause;
pub use correlate::correlate;
pub use fact::{Fact, FalseFact, MAX_FACT_BYTES};
pub use finding::{Finding, Severity};
pub use insight::{Confidence, Correlation, Insight, Link, Linked};
pub use report::{Answered, Defect, EndedBy, HealthState, ModelPart, NotChecked, Operated, Report, Resource, Spent};

pub(crate) use correlate::{Joined, correlate_joined, relation};
pub(crate) use finding::{MAX_FACTS, MAX_FINDINGS, STATED_BY_MODEL, Stated};
