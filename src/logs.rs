//! The layer that the skill `logs` reads. Separate from that skill's crate because here it meets the tasks.

use lens_skills::logs::{DEFAULT_LEVEL, Logs};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::skills::task_of_thread;

/// The process's recorder.
pub(crate) fn logs() -> Logs {
    Logs::global(task_of_thread)
}

/// A layer for the service's tracing registry that records events of level INFO and above for the skill `logs`. It has a
/// filter of its own inside: it neither hides events from other layers nor is hidden by theirs, as long as those are put on
/// them with `with_filter` and not on the whole registry.
///
/// # Cost
///
/// An event costs its thread about as much as writing its text once, without a lock; in a storm, two counters.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let registry = tracing_subscriber::registry().with(lens::logs_layer());
/// # tracing::subscriber::with_default(registry, || tracing::info!("recorded"));
/// ```
#[must_use]
pub fn logs_layer<S>() -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    logs_layer_at(DEFAULT_LEVEL)
}

/// The same at another level: whatever it records, the service has to build, at the price of an event each.
#[must_use]
pub fn logs_layer_at<S>(level: LevelFilter) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    logs().layer(level)
}
