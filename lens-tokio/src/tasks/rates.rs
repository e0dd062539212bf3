//! What each site had counted in the last seconds, for rates. Separate because it is the only thing that the skill
//! keeps between two readings.

use std::time::{Duration, Instant};

use crate::table::Table;
use crate::table::stats::Counts;

use super::RATE_SECONDS;

/// Samples that are kept: one a second over the window.
const KEPT: usize = RATE_SECONDS as usize + 1;

/// The counts of all sites, once a second.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Oldest first from `next` on, once all are used.
    ring: Vec<Sample>,
    next: usize,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    /// By the site's number.
    counts: Vec<Counts>,
}

/// How much a site counted in a while.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Increase {
    pub(crate) counts: Counts,
    pub(crate) over: Duration,
}

impl Samples {
    /// Takes a sample. Allocates only while there are new sites.
    pub(crate) fn take(&mut self, table: &Table, now: Instant) {
        if self.ring.len() < KEPT {
            self.ring.push(Sample { at: now, counts: Vec::new() });
            self.next = self.ring.len() - 1;
        }
        let sample = &mut self.ring[self.next];
        sample.at = now;
        sample.counts.clear();
        sample.counts.extend(table.sites.numbers().map(|site| table.counts(site)));
        self.next = (self.next + 1) % KEPT;
    }

    /// How much the site has counted since the oldest sample; `None` while there is none that is a second old.
    pub(crate) fn increase(&self, site: u16, now: Instant, counts: &Counts) -> Option<Increase> {
        let oldest = self.ring.iter().min_by_key(|sample| sample.at)?;
        let over = now.checked_duration_since(oldest.at).filter(|over| *over >= Duration::from_secs(1))?;
        // A site without a number then had counted nothing.
        let then = oldest.counts.get(usize::from(site)).copied().unwrap_or_default();
        let counts = Counts {
            spawned: counts.spawned.saturating_sub(then.spawned),
            finished: counts.finished.saturating_sub(then.finished),
            polls: counts.polls.saturating_sub(then.polls),
            busy_ns: counts.busy_ns.saturating_sub(then.busy_ns),
            allocated_bytes: counts.allocated_bytes.saturating_sub(then.allocated_bytes),
            freed_bytes: counts.freed_bytes.saturating_sub(then.freed_bytes),
        };
        Some(Increase { counts, over })
    }
}
