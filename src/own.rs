//! The skill `lens`: what lens itself costs, keeps and can see. Separate from the other skills because it reads lens, not
//! the service.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use lens_core::numbers::total;
use lens_core::skill::NoArguments;
use lens_core::time::millis;
use lens_core::{
    About, CallError, Functions, Metric, Metrics, OrUnavailable, Reading, Recorder, Registry, Skill, Source, Span,
    Store, Timestamp, Unavailable, Unit, View, sandbox::Sandbox, threads,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::investigations::Investigations;

/// The skill's name.
pub(crate) const NAME: &str = "lens";

static CPU_MS: Metric =
    Metric::counter("cpu_ms_total", Unit::Milliseconds, "CPU time of lens's own threads; its rate is ms per second.")
        .bad_when_up();
static THREADS: Metric = Metric::gauge("threads", Unit::Count, "Threads that lens runs.").bad_when_up();

/// Reads lens itself.
#[derive(Debug)]
pub(crate) struct Own {
    started_at: Timestamp,
    recorder: Arc<Recorder>,
    sandbox: Sandbox,
    /// Set once the registry that this skill is part of has been built.
    links: Arc<OnceLock<Links>>,
}

/// What the skill reads that is only there once the skill is.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) registry: Weak<Registry>,
    pub(crate) investigations: Weak<Investigations>,
}

impl Own {
    pub(crate) fn new(recorder: &Arc<Recorder>, sandbox: &Sandbox, links: &Arc<OnceLock<Links>>) -> Self {
        Self {
            started_at: Timestamp::now(),
            recorder: Arc::clone(recorder),
            sandbox: sandbox.clone(),
            links: Arc::clone(links),
        }
    }

    fn registry(&self) -> Option<Arc<Registry>> {
        self.links.get()?.registry.upgrade()
    }
}

/// What lens knew of itself at an instant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnState {
    version: String,
    started_at: Timestamp,
    collected_at: Timestamp,
    cpu_time: Reading<Duration>,
    threads: u64,
    sources: Vec<(String, Source)>,
    stores: Vec<(String, Store)>,
}

/// What lens costs the process.
#[derive(Debug, Serialize, JsonSchema)]
struct Cost {
    /// CPU time of lens's threads in the last minute, as a share of one core; while there is no such series yet, since
    /// lens started.
    cpu_ratio: OrUnavailable<f64>,
    /// CPU time of lens's threads since lens started, as a share of one core.
    cpu_since_start_ratio: OrUnavailable<f64>,
    /// CPU time of lens's threads since the process started.
    cpu_ms_total: OrUnavailable<f64>,
    /// Bytes in the stores that `lens.stores()` lists. What hooks and threads need beside them (stacks, code) is not in it.
    memory_bytes: u64,
    /// Threads that lens runs, those of running queries included.
    thread_count: u64,
    /// What the stores had to drop since the start.
    dropped_total: u64,
    /// Since when lens runs.
    started_at: Timestamp,
    /// How long lens has been running.
    uptime_ms: f64,
    /// The version of lens.
    version: String,
}

/// One thing that lens reads, and whether it is there.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CoverageRow {
    /// The skill that reads it.
    pub(crate) skill: String,
    /// What is read, in the words of its origin.
    pub(crate) source: String,
    /// Whether it is `live`, `partial` or `unavailable`.
    pub(crate) status: &'static str,
    /// The stable word for what is missing; absent for a live source.
    pub(crate) code: Option<String>,
    /// What is missing and how to get it; absent for a live source.
    pub(crate) fix: Option<String>,
    /// What it is good for.
    pub(crate) gives: String,
    /// What it costs the service while it is on.
    pub(crate) cost: String,
}

impl CoverageRow {
    pub(crate) fn new(skill: &str, source: &Source) -> Self {
        Self {
            skill: skill.to_owned(),
            source: source.name.to_string(),
            status: source.status(),
            gives: source.gives.to_string(),
            fix: source.fix(),
            code: source.code().map(str::to_owned),
            cost: source.cost.to_string(),
        }
    }
}

/// One bounded store.
#[derive(Debug, Serialize, JsonSchema)]
struct StoreRow {
    /// The skill that keeps it.
    skill: String,
    /// What is stored.
    store: String,
    /// Entries in it.
    len_count: u64,
    /// Entries that it holds at most.
    cap_count: u64,
    /// Bytes that it takes.
    memory_bytes: u64,
    /// Entries refused or overwritten before their time.
    dropped_total: u64,
}

impl Skill for Own {
    type State = OwnState;

    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        about()
    }

    fn collect(&self) -> Reading<OwnState> {
        let registry = self.registry().ok_or_else(|| Unavailable::failed("lens has stopped"))?;
        let mut sources = Vec::new();
        let own = [self.recorder.store(), self.sandbox.store(), self.sandbox.abandoned()];
        let mut stores: Vec<_> = own.into_iter().map(|store| (NAME.to_owned(), store)).collect();
        let investigations = self.links.get().and_then(|links| links.investigations.upgrade());
        let of_investigations = investigations.iter().flat_map(|investigations| investigations.stores());
        stores.extend(of_investigations.map(|store| (NAME.to_owned(), store)));
        for entry in registry.entries().filter(|entry| entry.about().name != NAME) {
            let name = entry.about().name.to_string();
            sources.extend(entry.sources().into_iter().map(|source| (name.clone(), source)));
            stores.extend(entry.stores().into_iter().map(|store| (name.clone(), store)));
        }
        Ok(OwnState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            collected_at: Timestamp::now(),
            cpu_time: threads::cpu_time(),
            threads: threads::count() as u64,
            sources,
            stores,
        })
    }

    fn functions(to: Functions<OwnState>) -> Functions<OwnState> {
        to.record("cost", "What lens costs the process: CPU, memory, threads, drops.", "lens.cost()", cost)
            .rows(
                "coverage",
                "What lens reads, skill by skill, and for what it cannot read, why not and the fix.",
                "lens.coverage()",
                |state, NoArguments {}| Ok(coverage(&state.sources)),
            )
            .rows(
                "stores",
                "What lens keeps in memory: each bounded store, how full it is, and what it dropped.",
                "lens.stores()",
                |state, NoArguments {}| Ok(state.stores.iter().map(store_row).collect()),
            )
    }

    fn metrics(&self, out: &mut Metrics) {
        out.record_reading(&CPU_MS, threads::cpu_time().map(millis));
        out.record(&THREADS, threads::count());
    }
}

/// Who the skill is.
pub(crate) fn about() -> About {
    About::new(NAME, "lens", "What lens itself costs, keeps and can see.").prompt(
        "Start with lens.coverage() when an answer lacks something: it says which source is off and how to turn it on. \
         lens.cost() above 0.01 of a core while nobody asks, or a growing dropped_total, is a defect of lens worth reporting.",
    )
}

fn cost(view: &View<'_, OwnState>, NoArguments {}: NoArguments) -> Result<Cost, CallError> {
    let uptime = view.collected_at.since(view.started_at);
    let since_start = view.cpu_time.clone().map(|used| used.as_secs_f64() / uptime.as_secs_f64().max(1e-3));
    // The series is a rate of milliseconds per second.
    let last_minute = view.series("cpu_ms_total", Span::seconds(60)).map(|series| series.mean() / 1e3);
    Ok(Cost {
        cpu_ratio: last_minute.or(since_start.clone()).into(),
        cpu_since_start_ratio: since_start.into(),
        cpu_ms_total: view.cpu_time.clone().map(millis).into(),
        memory_bytes: total(view.stores.iter().map(|(_, store)| store.memory_bytes)),
        thread_count: view.threads,
        dropped_total: total(view.stores.iter().map(|(_, store)| store.dropped_total)),
        started_at: view.started_at,
        uptime_ms: millis(uptime),
        version: view.version.clone(),
    })
}

pub(crate) fn coverage(sources: &[(String, Source)]) -> Vec<CoverageRow> {
    sources.iter().map(|(skill, source)| CoverageRow::new(skill, source)).collect()
}

/// What is not live of `sources`: the coverage that an answer carries.
#[cfg(feature = "http")]
pub(crate) fn gaps(sources: &[(String, Source)]) -> Vec<CoverageRow> {
    coverage(sources).into_iter().filter(|row| row.status != "live").collect()
}

fn store_row((skill, store): &(String, Store)) -> StoreRow {
    StoreRow {
        skill: skill.clone(),
        store: store.name.to_string(),
        len_count: store.len_count,
        cap_count: store.cap_count,
        memory_bytes: store.memory_bytes,
        dropped_total: store.dropped_total,
    }
}
