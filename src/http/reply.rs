//! What the routes answer, as plain data: the same values are written as JSON and shown on pages. Separate from the routes
//! so that both formats say the same.

use lens_core::recorder::SeriesReference;
use lens_core::sandbox::{Cost, Outcome, QueryError};
use lens_core::signature::Returns;
use lens_core::time::millis;
use lens_core::{Capture, FunctionReference, Source, Store, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use super::Desk;
use crate::health::Health;
use crate::own::{self, CoverageRow};
use crate::queries::Saved;

/// `GET /`.
#[derive(Serialize)]
pub(super) struct Overview {
    pub(super) service: Service,
    pub(super) captured_at: Timestamp,
    pub(super) health: Health,
    pub(super) skills: Vec<SkillSummary>,
    pub(super) queries: Vec<QuerySummary>,
    pub(super) coverage: Vec<CoverageRow>,
    #[serde(rename = "_links")]
    pub(super) links: Value,
}

/// Whom lens looks at.
#[derive(Serialize)]
pub(super) struct Service {
    pub(super) program: String,
    pub(super) pid: u32,
    pub(super) lens_version: &'static str,
    pub(super) lens_started_at: Timestamp,
    /// What the build lets lens see: `stable` or `tokio_unstable`.
    pub(super) tier: &'static str,
}

/// A skill in a list.
#[derive(Serialize)]
pub(super) struct SkillSummary {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) status: &'static str,
    pub(super) fix: Option<String>,
    pub(super) functions: Vec<String>,
    pub(super) href: String,
}

/// A saved query in a list.
#[derive(Serialize)]
pub(super) struct QuerySummary {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) script: String,
    pub(super) href: String,
}

/// `GET /skills/{skill}`.
#[derive(Serialize)]
pub(super) struct SkillReply {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) prompt: String,
    pub(super) captured_at: Timestamp,
    pub(super) sources: Vec<CoverageRow>,
    /// The skill's latest metrics.
    pub(super) snapshot: Vec<SeriesReference>,
    pub(super) functions: Vec<FunctionReply>,
    pub(super) stores: Vec<Store>,
}

/// A function and how to call it.
#[derive(Serialize)]
pub(super) struct FunctionReply {
    pub(super) signature: String,
    pub(super) href: String,
    #[serde(flatten)]
    pub(super) reference: FunctionReference,
}

/// `GET /doctor`.
#[derive(Serialize)]
pub(super) struct Doctor {
    pub(super) captured_at: Timestamp,
    pub(super) service: Service,
    pub(super) sources: Vec<CoverageRow>,
    pub(super) cost: Value,
    pub(super) limits: Value,
}

pub(super) fn service(desk: &Desk) -> Service {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    Service {
        program: name.unwrap_or_else(|| "this process".to_owned()),
        pid: std::process::id(),
        lens_version: env!("CARGO_PKG_VERSION"),
        lens_started_at: desk.started_at,
        tier: if lens_tokio::TOKIO_UNSTABLE { "tokio_unstable" } else { "stable" },
    }
}

pub(super) fn overview(desk: &Desk, capture: &Capture, health: Health, base: &str) -> Overview {
    let sources = all_sources(capture);
    Overview {
        service: service(desk),
        captured_at: capture.at(),
        health,
        skills: summaries(capture, base),
        queries: queries(desk, base),
        coverage: own::gaps(&sources),
        links: links(base),
    }
}

pub(super) fn summaries(capture: &Capture, base: &str) -> Vec<SkillSummary> {
    let summary = |entry: &lens_core::registry::Entry| {
        let about = entry.about();
        let sources = entry.sources();
        let gaps: Vec<&Source> = sources.iter().filter(|source| source.status() != "live").collect();
        let status = match gaps.len() {
            0 => "live",
            missing if missing == sources.len() => "unavailable",
            _ => "partial",
        };
        SkillSummary {
            name: about.name.to_string(),
            title: about.title.to_string(),
            description: about.description.to_string(),
            status,
            fix: gaps.first().and_then(|source| source.fix()),
            functions: entry.functions().iter().map(|function| function.name.clone()).collect(),
            href: format!("{base}/skills/{}", about.name),
        }
    };
    capture.registry().entries().map(summary).collect()
}

/// The saved queries.
pub(super) fn queries(desk: &Desk, base: &str) -> Vec<QuerySummary> {
    let summary = |(name, saved): (&str, &Saved)| QuerySummary {
        name: name.to_owned(),
        doc: saved.doc.clone(),
        script: saved.source.clone(),
        href: format!("{base}/queries/{name}"),
    };
    desk.lens.queries.iter().map(summary).collect()
}

fn links(base: &str) -> Value {
    let link = |path: &str, title: &str| json!({"href": format!("{base}{path}"), "title": title});
    json!({
        "self": link("", "this overview"),
        "doctor": link("/doctor", "every data source: live, or why not and how to enable it"),
        "skills": link("/skills", "what can be asked"),
        "findings": link("/findings", "what is wrong now, where, since when, and what to do"),
        "investigations": link("/investigations", "diagnoses that are kept; POST starts one"),
        "checks": link("/checks", "what lens checks, and from where on something is wrong"),
        "reference": link("/reference", "every function with types, units and an example; ?format=text for prompts"),
        "queries": link("/queries", "the saved queries"),
        "query": {"href": format!("{base}/query"), "method": "POST", "title": "a Starlark script in, its answer out"},
        "series": link("/series", "what was recorded; ?name=&last= for one"),
        "metrics": link("/metrics", "the latest values as Prometheus text"),
        "tasks": link("/tasks?debug=1", "where all tasks wait, those with the same await tree together, as text"),
        "pprof_heap": link("/pprof/heap", "who holds the heap's bytes, for `go tool pprof`; ?format=flamegraph for a drawing"),
        "capture": link("/capture", "everything lens knows now, as a file to open elsewhere"),
    })
}

pub(super) fn skill(capture: &Capture, name: &str, base: &str) -> Result<SkillReply, lens_core::CallError> {
    let entry = capture.registry().get(name)?;
    let about = entry.about();
    let function = |reference: &FunctionReference| FunctionReply {
        signature: reference.signature(name),
        href: format!("{base}/skills/{name}/{}", reference.name),
        reference: reference.clone(),
    };
    let prefix = format!("{name}.");
    Ok(SkillReply {
        name: about.name.to_string(),
        title: about.title.to_string(),
        description: about.description.to_string(),
        prompt: about.prompt.to_string(),
        captured_at: capture.at(),
        sources: entry.sources().iter().map(|source| CoverageRow::new(name, source)).collect(),
        snapshot: capture.history().list().into_iter().filter(|series| series.name.starts_with(&prefix)).collect(),
        functions: entry.functions().into_iter().map(function).collect(),
        stores: entry.stores(),
    })
}

pub(super) fn doctor(desk: &Desk, capture: &Capture) -> Doctor {
    let cost = capture.call(own::NAME, "cost", lens_core::signature::Arguments::default());
    let limits = desk.lens.sandbox.limits();
    Doctor {
        captured_at: capture.at(),
        service: service(desk),
        sources: own::coverage(&all_sources(capture)),
        cost: cost.map_or(Value::Null, |cost| cost.to_json()),
        limits: json!({
            "source_bytes": limits.source_bytes,
            "steps": limits.steps,
            "wall_ms": millis(limits.wall),
            "heap_bytes": limits.heap_bytes,
            "output_bytes": limits.output_bytes,
            "concurrent_queries": limits.concurrency,
        }),
    }
}

/// The fields of a function's rows, in the order of their declaration.
pub(super) fn columns(capture: &Capture, skill: &str, function: &str) -> Vec<String> {
    let reference = capture.registry().get(skill).and_then(|entry| entry.function(function));
    match reference.map(|reference| &reference.returns) {
        Ok(Returns::Rows(fields) | Returns::Record(fields)) => fields.iter().map(|field| field.name.clone()).collect(),
        _ => Vec::new(),
    }
}

/// The sources of every skill, without reading any skill's state.
fn all_sources(capture: &Capture) -> Vec<(String, Source)> {
    let of = |entry: &lens_core::registry::Entry| {
        let name = entry.about().name.to_string();
        entry.sources().into_iter().map(move |source| (name.clone(), source)).collect::<Vec<_>>()
    };
    capture.registry().entries().flat_map(of).collect()
}

/// The coverage that applies to an answer: what the skills that it touched lack.
pub(super) fn coverage(capture: &Capture) -> Vec<CoverageRow> {
    let mut sources = Vec::new();
    for skill in capture.touched() {
        for source in capture.sources(skill).unwrap_or_default() {
            sources.push((skill.to_owned(), source.clone()));
        }
    }
    own::gaps(&sources)
}

pub(super) fn cost(cost: &Cost) -> Value {
    json!({"elapsed_ms": millis(cost.elapsed), "steps": cost.steps, "heap_bytes": cost.heap_bytes})
}

/// `POST /query?check=true`.
pub(super) fn check(errors: &[QueryError]) -> Value {
    let error = |error: &QueryError| {
        let mut shown = serde_json::to_value(error).unwrap_or_default();
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("printed");
            fields.insert("rendered".to_owned(), error.to_string().into());
        }
        shown
    };
    json!({"ok": errors.is_empty(), "errors": errors.iter().map(error).collect::<Vec<_>>()})
}

/// `POST /query` and `GET /queries/{name}`.
pub(super) fn query(capture: &Capture, outcome: Outcome) -> Value {
    let mut reply = json!({
        "value": null,
        "columns": outcome.columns,
        "printed": outcome.printed,
        "cost": cost(&outcome.cost),
        "captured_at": capture.at(),
        "coverage": coverage(capture),
    });
    // Moved, not copied: it may be most of what the query could have.
    reply["value"] = outcome.value;
    reply
}
