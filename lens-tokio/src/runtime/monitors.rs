//! The task monitors that the service made itself. Separate because lens only reads them: which tasks they instrument is
//! the service's choice, and so is their cost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lens_core::Store;
use lens_core::time::millis;
use tokio_metrics::{TaskMetrics, TaskMonitor};

use super::rows::TaskMonitorRow;

/// The most monitors that are registered at a time. More cost about 1 KiB each in a capture; those above are refused.
pub const MAX_TASK_MONITORS: usize = 256;

/// The service's own [`TaskMonitor`]s, by name. Clones are the same registry.
///
/// # Cost
///
/// None to the service beyond the monitor's own (about 190 ns a poll, as it writes counters shared by all its tasks).
///
/// # Examples
///
/// ```
/// use lens_tokio::TaskMonitors;
///
/// let monitors = TaskMonitors::new();
/// let checkout = tokio_metrics::TaskMonitor::new();
/// monitors.register("checkout", &checkout);
/// // …and everywhere: tokio::spawn(checkout.instrument(future))
/// ```
#[derive(Clone, Debug, Default)]
pub struct TaskMonitors(Arc<Mutex<Monitors>>);

#[derive(Debug, Default)]
struct Monitors {
    by_name: BTreeMap<String, TaskMonitor>,
    refused_total: u64,
}

impl TaskMonitors {
    /// No monitors yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has lens read `monitor` as `name`, in place of one that had this name before. Gives whether it does: above
    /// [`MAX_TASK_MONITORS`] a new name is refused and counted.
    #[expect(clippy::must_use_candidate, reason = "the skill's stores report what was refused")]
    pub fn register(&self, name: &str, monitor: &TaskMonitor) -> bool {
        let mut monitors = self.lock();
        if monitors.by_name.len() >= MAX_TASK_MONITORS && !monitors.by_name.contains_key(name) {
            monitors.refused_total += 1;
            return false;
        }
        monitors.by_name.insert(name.to_owned(), monitor.clone());
        true
    }

    /// Has lens not read the monitor `name` any more. Gives whether there was one.
    #[expect(clippy::must_use_candidate, reason = "whether it was there rarely matters")]
    pub fn remove(&self, name: &str) -> bool {
        self.lock().by_name.remove(name).is_some()
    }

    /// How many monitors are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().by_name.len()
    }

    /// Whether none is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn read(&self) -> Vec<TaskMonitorRow> {
        self.lock().by_name.iter().map(|(name, monitor)| row(name, monitor)).collect()
    }

    pub(super) fn store(&self) -> Store {
        let monitors = self.lock();
        let entry = size_of::<(String, TaskMonitor)>();
        let memory: usize = monitors.by_name.keys().map(|name| name.capacity() + entry).sum();
        Store {
            name: "task monitors".into(),
            len_count: monitors.by_name.len() as u64,
            cap_count: MAX_TASK_MONITORS as u64,
            memory_bytes: memory as u64,
            dropped_total: monitors.refused_total,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Monitors> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(name: &str, monitor: &TaskMonitor) -> TaskMonitorRow {
    let TaskMetrics {
        instrumented_count,
        dropped_count,
        first_poll_count,
        total_first_poll_delay,
        total_idled_count,
        total_idle_duration,
        max_idle_duration,
        total_scheduled_count,
        total_scheduled_duration,
        total_poll_count,
        total_poll_duration,
        total_slow_poll_count,
        total_slow_poll_duration,
        total_long_delay_count,
        total_long_delay_duration,
        ..
    } = monitor.cumulative();
    TaskMonitorRow {
        name: name.to_owned(),
        instrumented_count,
        dropped_count,
        live_count: instrumented_count.saturating_sub(dropped_count),
        first_poll_count,
        mean_first_poll_delay_ms: mean_ms(total_first_poll_delay, first_poll_count),
        total_poll_count,
        total_poll_ms: millis(total_poll_duration),
        mean_poll_ms: mean_ms(total_poll_duration, total_poll_count),
        slow_poll_threshold_ms: millis(monitor.slow_poll_threshold()),
        total_slow_poll_count,
        slow_poll_ratio: share(total_slow_poll_count, total_poll_count),
        mean_slow_poll_ms: mean_ms(total_slow_poll_duration, total_slow_poll_count),
        total_scheduled_count,
        total_scheduled_ms: millis(total_scheduled_duration),
        mean_scheduled_ms: mean_ms(total_scheduled_duration, total_scheduled_count),
        long_delay_threshold_ms: millis(monitor.long_delay_threshold()),
        total_long_delay_count,
        long_delay_ratio: share(total_long_delay_count, total_scheduled_count),
        mean_long_delay_ms: mean_ms(total_long_delay_duration, total_long_delay_count),
        total_idled_count,
        total_idle_ms: millis(total_idle_duration),
        mean_idle_ms: mean_ms(total_idle_duration, total_idled_count),
        max_idle_ms: (total_idled_count > 0).then(|| millis(max_idle_duration)),
    }
}

/// The mean of `count` things that took `total`; `None` of none.
#[expect(clippy::cast_precision_loss, reason = "a count above 2^53 is not reached")]
fn mean_ms(total: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| millis(total) / count as f64)
}

/// The share of `part` in `whole`; `None` of nothing. The two are read one after the other, so that a part may already
/// count what the whole does not.
#[expect(clippy::cast_precision_loss, reason = "a count above 2^53 is not reached")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}
