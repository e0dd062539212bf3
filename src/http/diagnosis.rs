//! The routes of the diagnosis: findings now, investigations that are kept, and the reference of the checks. Separate from
//! the other routes because they are one subject, with a page of their own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use lens_core::investigation::{Budget, Order, Transcript};
use lens_core::{Registry, Report};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::format::Format;
use super::problem::Problem;
use super::report_page;
use super::routes::{Answered, Asked, Named, Object, Shared, as_json, body, house, plain};
use super::{Base, Desk};
use crate::investigations::{Entry, Refused, Staff, Summary};

/// The largest body of a request to investigate.
pub(super) const MAX_BODY_BYTES: usize = 16 << 10;

/// Formats of a report.
const REPORT: &[Format] = &[Format::Json, Format::Html, Format::Text];

pub(super) fn router() -> Router<Arc<Desk>> {
    Router::new()
        .route("/findings", get(findings))
        .route("/checks", get(checks))
        .route("/investigations", get(list).post(start))
        .route("/investigations/{id}", get(read).delete(cancel))
        .route("/investigations/{id}/capture", get(capture))
        .route("/schedules", get(super::conversation::schedules))
        .route("/schedules/{id}", delete(super::conversation::cancel_schedule))
        .route("/ask", post(super::conversation::ask))
        .route("/events", get(super::conversation::events))
}

async fn findings(
    State(desk): Shared,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, REPORT)?;
    let report = house(&desk, |desk, _| desk.lens.investigations.examine(&desk.lens.frozen())).await?;
    Ok(shown(format, &report, None, &report, &base))
}

async fn checks(State(desk): Shared, Extension(Base(base)): Extension<Base>, uri: Uri, headers: HeaderMap) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, &[Format::Json, Format::Html])?;
    let references = desk.lens.investigations.checks.references();
    Ok(match format {
        Format::Html => super::page::respond(&report_page::checks(&references, &base)),
        _ => as_json(&references),
    })
}

async fn list(State(desk): Shared, Extension(Base(base)): Extension<Base>, uri: Uri, headers: HeaderMap) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, &[Format::Json, Format::Html])?;
    let list: Vec<Linked> = desk.lens.investigations.list().iter().map(|entry| Linked::new(entry, &base)).collect();
    Ok(match format {
        Format::Html => super::page::respond(&report_page::list(&list, &base)),
        _ => as_json(&list),
    })
}

/// What a request to investigate may say.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// Why somebody asks.
    pub(super) reason: String,
    /// How it is done, by name; `?strategy=` says the same.
    pub(super) strategy: Option<String>,
    /// How long it may take.
    deadline_ms: Option<u64>,
    /// What else it may use.
    budget: Object<Limited>,
    /// The only skills that a model may look into.
    skills: Option<BTreeSet<String>>,
}

/// The parts of a budget that a request may lower.
#[derive(Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Limited {
    iterations: Option<u32>,
    requests: Option<u32>,
    tokens: Option<u64>,
    tool_calls: Option<u32>,
    rows: Option<u64>,
    captures: Option<usize>,
}

impl Limited {
    /// The budget with these parts lowered; whoever may ask cannot raise them.
    fn lower(&self, budget: &mut Budget) {
        let lower = |part: &mut u32, to: Option<u32>| *part = to.map_or(*part, |to| to.min(*part));
        lower(&mut budget.iterations, self.iterations);
        lower(&mut budget.requests, self.requests);
        lower(&mut budget.tool_calls, self.tool_calls);
        budget.tokens = self.tokens.map_or(budget.tokens, |to| to.min(budget.tokens));
        budget.rows = self.rows.map_or(budget.rows, |to| to.min(budget.rows));
        budget.captures = self.captures.map_or(budget.captures, |to| to.min(budget.captures));
    }
}

impl Wanted {
    /// What the lens makes of a request.
    pub(super) fn order(self, staff: &Staff, registry: &Registry, is_question: bool) -> Result<Order, Problem> {
        let settings = staff.investigator.settings();
        let unknown = self.skills.iter().flatten().find(|skill| registry.names().all(|name| name != *skill));
        if let Some(skill) = unknown {
            let known = registry.names().collect::<Vec<_>>().join(", ");
            let detail = format!("there is no skill {skill:?}; there are {known}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", "skills"));
        }
        let mut budget = settings.budget.clone();
        let is_usual = self.deadline_ms.is_none() && self.budget.0 == Limited::default();
        self.budget.0.lower(&mut budget);
        if let Some(ms) = self.deadline_ms {
            budget.deadline = Duration::from_millis(ms).min(budget.deadline);
        }
        let strategy =
            self.strategy.map(|name| settings.strategy.named(&name)).transpose().map_err(|error| {
                Problem::new(StatusCode::BAD_REQUEST, "argument", error).with("argument", "strategy")
            })?;
        let mut order = if is_question { Order::question(self.reason) } else { Order::new(self.reason) };
        order.strategy = strategy;
        order.budget = (!is_usual).then_some(budget);
        order.skills = self.skills;
        Ok(order)
    }
}

async fn start(
    State(desk): Shared,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Answered {
    let mut asked = Asked::of(&uri)?;
    let strategy = asked.take("strategy");
    asked.format(&headers, &[Format::Json])?;
    asked.nothing_else(&["format", "strategy"])?;
    let body = body(request, MAX_BODY_BYTES, "say it in fewer words").await?;
    let mut wanted: Wanted = if body.is_empty() {
        Wanted::default()
    } else {
        serde_json::from_slice(&body).map(|Object(wanted)| wanted).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "body", format!("the body is no request to investigate: {error}"))
                .fix("send nothing, or JSON like {\"reason\": \"orders are slow\", \"deadline_ms\": 5000}")
        })?
    };
    wanted.strategy = strategy.or(wanted.strategy);
    let order = wanted.order(desk.lens.staff(), &desk.lens.registry, false)?;
    // Reading the history takes a moment, so it is done on a thread that may take one.
    let started = house(&desk, move |desk, _| desk.lens.investigations.start(order)).await?;
    let id = started.map_err(|refused_by| refused(&refused_by, &base))?.detach();
    let href = format!("{base}/investigations/{id}");
    let mut response = as_json(&json!({"id": id, "status": "running", "href": href}));
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(location) = HeaderValue::from_str(&href) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn read(
    State(desk): Shared,
    Named(id): Named<String>,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, REPORT)?;
    let entry = desk.lens.investigations.get(&id).map_err(|refusal| refused(&refusal, &base))?;
    Ok(match &entry.report {
        Some(report) => {
            let transcript = entry.transcript.as_deref();
            let whole = Whole { linked: Linked::new(&entry, &base), report, transcript };
            shown(format, report, transcript, &whole, &base)
        }
        None => as_json(&Linked::new(&entry, &base)),
    })
}

async fn cancel(
    State(desk): Shared,
    Named(id): Named<String>,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    desk.lens.investigations.cancel(&id).map_err(|refusal| refused(&refusal, &base))?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn capture(
    State(desk): Shared,
    Named(id): Named<String>,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
) -> Answered {
    let mut asked = Asked::of(&uri)?;
    // Of several that a model took, one by its id.
    let wanted = asked.take("id");
    asked.nothing_else(&["id"])?;
    let entry = desk.lens.investigations.get(&id).map_err(|refusal| refused(&refusal, &base))?;
    let file = match wanted {
        Some(wanted) => entry.files.into_iter().find(|(id, _)| *id == wanted),
        None => entry.files.into_iter().next(),
    };
    let Some((id, file)) = file else {
        return Err(Problem::new(StatusCode::GONE, "forgotten", "this investigation's capture is not kept (any more)")
            .fix("captures of the newest investigations are kept: download them soon"));
    };
    let mut response = Response::new(Body::from(file.to_vec()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(name) = format!("attachment; filename=\"lens-{id}.json\"").parse() {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

pub(super) fn refused(refusal: &Refused, base: &str) -> Problem {
    match refusal {
        Refused::Running { id } => Problem::new(StatusCode::CONFLICT, "running", "an investigation is running")
            .with("href", format!("{base}/investigations/{id}"))
            .fix("wait for it, or cancel it with DELETE"),
        Refused::Unknown => {
            Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such investigation, or it was forgotten")
                .fix(format!("see {base}/investigations"))
        }
        Refused::Ended => Problem::new(StatusCode::CONFLICT, "ended", "this investigation has ended already"),
        Refused::NoThread(_) | Refused::Stopped => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", refusal.to_string())
        }
    }
}

/// An investigation and where it is.
#[derive(Serialize)]
pub(super) struct Linked {
    #[serde(flatten)]
    pub(super) summary: Summary,
    pub(super) href: String,
    pub(super) capture: Option<String>,
}

impl Linked {
    fn new(entry: &Entry, base: &str) -> Self {
        let summary = entry.summary();
        let href = format!("{base}/investigations/{}", summary.id);
        Self { capture: summary.has_capture.then(|| format!("{href}/capture")), href, summary }
    }
}

/// An investigation with its report.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    linked: Linked,
    report: &'a Report,
    /// What a model was told and said.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<&'a Transcript>,
}

/// A report in the format that was asked for; as JSON, it is `whole`.
fn shown(
    format: Format,
    report: &Report,
    transcript: Option<&Transcript>,
    whole: &impl Serialize,
    base: &str,
) -> Response<Body> {
    match format {
        Format::Html => super::page::respond(&report_page::report(report, transcript, base)),
        Format::Text => plain(report.to_string()),
        _ => as_json(&with_status(whole, report)),
    }
}

/// The reply with the report's word for the whole in front, so that a script needs to look at one field only.
fn with_status(whole: &impl Serialize, report: &Report) -> Value {
    let mut value = serde_json::to_value(whole).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("status".to_owned(), report.status().into());
    }
    value
}
