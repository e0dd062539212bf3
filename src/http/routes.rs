//! The routes, and which thread does their work: lens's HTTP thread only reads requests and writes answers; whatever looks
//! at a skill runs on a thread of the sandbox, because a skill may take its time.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Extension, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lens_core::sandbox::{Outcome, QueryError, Running, Sandbox};
use lens_core::signature::Arguments;
use lens_core::{Capture, Span};
use maud::Markup;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::format::{Format, negotiate};
use super::problem::Problem;
use super::{Base, Desk, diagnosis, heap, page, prometheus, reply};
use crate::health::Health;
use crate::table;
use lens_core::reference::Reference;

pub(super) type Answered = Result<Response<Body>, Problem>;
pub(super) type Shared = State<Arc<Desk>>;

/// What a page or its JSON is made for.
const PAGE: &[Format] = &[Format::Json, Format::Html];
/// What to do about a script that is too long.
const SHORTEN_SCRIPT: &str = "make it shorter, or raise `Limits::source_bytes` by `Builder::limits`";

/// What an answer is made for.
const ANSWER: &[Format] = &[Format::Json, Format::Html, Format::Table];

pub(super) fn router(desk: Arc<Desk>) -> Router {
    heap::add(Router::new())
        .route("/", get(overview))
        .route("/doctor", get(doctor))
        .route("/skills", get(skills))
        .route("/skills/{skill}", get(skill))
        .route("/skills/{skill}/{function}", get(function))
        .route("/query", post(query))
        .merge(diagnosis::router())
        .route("/queries", get(queries))
        .route("/queries/{name}", get(saved_query))
        .route("/reference", get(reference))
        .route("/series", get(series))
        .route("/capture", get(capture))
        .route("/tasks", get(tasks))
        .route("/metrics", get(metrics))
        .route("/assets/lens.css", get(|uri| asset(uri, "text/css", include_str!("assets/lens.css"))))
        .route("/assets/lens.js", get(|uri| asset(uri, "text/javascript", include_str!("assets/lens.js"))))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(desk)
}

async fn overview(
    State(desk): Shared,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, PAGE)?;
    let reply = house(&desk, move |desk, capture| {
        let health = Health::of(&desk.lens.investigations.examine(&desk.lens.frozen()));
        (reply::overview(desk, &capture, health, &base), base)
    })
    .await?;
    Ok(shown(format, &reply.0, |overview| page::overview(overview, &reply.1)))
}

async fn doctor(State(desk): Shared, Extension(Base(base)): Extension<Base>, uri: Uri, headers: HeaderMap) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, PAGE)?;
    let reply = house(&desk, |desk, capture| reply::doctor(desk, &capture)).await?;
    Ok(shown(format, &reply, |doctor| page::doctor(doctor, &base)))
}

async fn skills(State(desk): Shared, Extension(Base(base)): Extension<Base>, uri: Uri, headers: HeaderMap) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, PAGE)?;
    let (summaries, base) = house(&desk, move |_, capture| (reply::summaries(&capture, &base), base)).await?;
    Ok(shown(format, &summaries, |summaries| page::skills(summaries, &base)))
}

async fn skill(
    State(desk): Shared,
    Named(name): Named<String>,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, PAGE)?;
    let (reply, base) = house(&desk, move |_, capture| (reply::skill(&capture, &name, &base), base)).await?;
    Ok(shown(format, &reply?, |skill| page::skill(skill, &base)))
}

async fn function(
    State(desk): Shared,
    Named((skill, function)): Named<(String, String)>,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let asked = Asked::of(&uri)?;
    let format = asked.format(&headers, ANSWER)?;
    let title = format!("{skill}.{function}");
    if asked.others.iter().any(|(name, _)| name == "format") {
        return Err(twice("format".to_owned()));
    }
    let arguments = Arguments::from_query(asked.others);
    let (reply, columns) = work(&desk, &desk.lens.sandbox, move |_, capture| {
        let value = capture.call(&skill, &function, arguments)?.to_json();
        let columns = reply::columns(&capture, &skill, &function);
        let reply = json!({
            "value": value,
            "captured_at": capture.at(),
            "coverage": reply::coverage(&capture),
        });
        Ok::<_, Problem>((reply, columns))
    })
    .await??;
    Ok(answered(format, &reply, &columns, &title, &base))
}

async fn query(State(desk): Shared, uri: Uri, headers: HeaderMap, request: Request) -> Answered {
    let mut asked = Asked::of(&uri)?;
    let format = asked.format(&headers, &[Format::Json, Format::Table])?;
    let check = asked.take("check");
    asked.nothing_else(&["check", "format"])?;
    let source = body(request, desk.lens.sandbox.limits().source_bytes, SHORTEN_SCRIPT).await?;
    let source = String::from_utf8(source.into())
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "encoding", "the script is not UTF-8 text"))?;
    match check.as_deref() {
        None | Some("false") => {}
        Some("true" | "") => {
            let (answer, answered) = oneshot::channel();
            desk.lens.sandbox.start_check(&source, &desk.lens.registry, move |errors| {
                // The client may have gone meanwhile.
                let _ = answer.send(errors);
            })?;
            return Ok(as_json(&reply::check(&answered.await.map_err(|_| lost())??)));
        }
        Some(other) => {
            let detail = format!("the argument `check` takes true or false, not {other:?}");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", "check"));
        }
    }
    let capture = desk.lens.capture();
    let (reply, columns) =
        outcome(&capture, |done| desk.lens.sandbox.start(&source, Arc::clone(&capture), done)).await?;
    Ok(answered(format, &reply, &columns, "query", ""))
}

async fn queries(
    State(desk): Shared,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, PAGE)?;
    Ok(shown(format, &reply::queries(&desk, &base), |list| page::queries(list, &base)))
}

async fn saved_query(
    State(desk): Shared,
    Named(name): Named<String>,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, ANSWER)?;
    let script = desk.lens.queries.get(&name)?.script.clone();
    let capture = desk.lens.capture();
    let (reply, columns) =
        outcome(&capture, |done| desk.lens.sandbox.start_script(&script, Arc::clone(&capture), done)).await?;
    Ok(answered(format, &reply, &columns, &name, &base))
}

/// What a query gives, and the order of its fields. Dropped with this future when the client goes: that ends the query.
async fn outcome(
    capture: &Arc<Capture>,
    start: impl FnOnce(Done) -> Result<Running, QueryError>,
) -> Result<(Value, Vec<String>), Problem> {
    let (answer, answered) = oneshot::channel();
    let capture = Arc::clone(capture);
    let _running = start(Box::new(move |outcome| {
        let reply = outcome.map(|outcome| {
            let columns = outcome.columns.clone();
            (reply::query(&capture, outcome), columns)
        });
        // The client may have gone meanwhile.
        let _ = answer.send(reply);
    }))?;
    Ok(answered.await.map_err(|_| lost())??)
}

type Done = Box<dyn FnOnce(Result<Outcome, QueryError>) + Send>;

async fn reference(
    State(desk): Shared,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, &[Format::Text, Format::Json, Format::Html])?;
    let reference = Reference::of(&desk.lens.registry);
    Ok(match format {
        Format::Text | Format::Table => plain(table::harmless_lines(&reference.text())),
        other => shown(other, &reference, |reference| page::reference(reference, &base)),
    })
}

async fn series(State(desk): Shared, Extension(Base(base)): Extension<Base>, uri: Uri, headers: HeaderMap) -> Answered {
    let mut asked = Asked::of(&uri)?;
    let format = asked.format(&headers, PAGE)?;
    let name = asked.take("name");
    let last = asked.take("last");
    asked.nothing_else(&["format", "last", "name"])?;
    let capture = desk.lens.capture();
    let Some(name) = name else {
        if last.is_some() {
            return Err(
                Problem::new(StatusCode::BAD_REQUEST, "argument", "`last` needs `name`").with("argument", "last")
            );
        }
        let list = capture.history().list();
        return Ok(shown(format, &list, |list| page::series_list(list, &base)));
    };
    let last = last.as_deref().unwrap_or("5m");
    let span: Span = serde_json::from_value(last.into()).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "argument", format!("the argument `last`: {error}"))
            .with("argument", "last")
    })?;
    let series = capture.series(&name, span)?;
    Ok(shown(format, &series, |series| page::series(series, &base)))
}

async fn capture(State(desk): Shared, uri: Uri, headers: HeaderMap) -> Answered {
    Asked::of(&uri)?.only(&headers, &[Format::Json])?;
    let (file, at) = work(&desk, &desk.lens.sandbox, |_, capture| {
        let mut file = Vec::new();
        capture.save(&mut file).map(|()| (file, capture.at()))
    })
    .await?
    .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "capture", error.to_string()))?;
    let mut response = Response::new(Body::from(file));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = format!("attachment; filename=\"lens-{}.json\"", at.to_string().replace(':', "-"));
    if let Ok(name) = name.parse() {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Where all tasks wait, as Go shows its goroutines.
async fn tasks(State(desk): Shared, uri: Uri) -> Answered {
    let mut asked = Asked::of(&uri)?;
    if let Some(level) = asked.take("debug").filter(|level| level != "1") {
        let detail = format!("`debug` takes 1, tasks with the same await tree together, not `{level}`");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", "debug"));
    }
    asked.nothing_else(&["debug"])?;
    let text = work(&desk, &desk.lens.sandbox, |_, capture| super::tasks::text(&capture)).await??;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

async fn metrics(State(desk): Shared, uri: Uri) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    let capture = desk.lens.capture();
    let text = prometheus::text(&capture.history().list(), capture.at());
    Ok(([(header::CONTENT_TYPE, prometheus::MEDIA_TYPE)], text).into_response())
}

async fn asset(uri: Uri, media_type: &'static str, text: &'static str) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

async fn unknown(uri: Uri) -> Problem {
    let known = [
        "",
        "doctor",
        "skills",
        "query",
        "queries",
        "reference",
        "series",
        "capture",
        "tasks",
        "metrics",
        "findings",
        "checks",
        "investigations",
        "schedules",
        "ask",
        "events",
        "pprof/heap",
    ];
    let path = uri.path().trim_matches('/');
    Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no route `/{path}` below lens's first page"))
        .with("nearest", lens_core::error::nearest(path, known).map(|near| format!("/{near}")))
        .fix("see `_links` of the first page")
}

async fn wrong_method(request: Request) -> Problem {
    let allowed = match request.uri().path() {
        "/query" | "/ask" => "POST",
        "/investigations" => "GET, POST",
        path if path.starts_with("/investigations/") && !path.ends_with("/capture") => "GET, DELETE",
        path if path.starts_with("/schedules/") => "DELETE",
        heap::PATH => "GET, POST, DELETE",
        _ => "GET",
    };
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        format!("{} takes {allowed}, not {}", request.uri().path(), request.method()),
    )
    .header(header::ALLOW, HeaderValue::from_static(allowed))
}

/// Runs `work` on a thread that is kept for lens's own pages, so that they come while queries take all places.
pub(super) async fn house<T: Send + 'static>(
    desk: &Arc<Desk>,
    work_on: impl FnOnce(&Desk, Arc<Capture>) -> T + Send + 'static,
) -> Result<T, Problem> {
    work(desk, &desk.house, work_on).await
}

/// Runs `work` over a capture of now on a thread of `sandbox`.
pub(super) async fn work<T: Send + 'static>(
    desk: &Arc<Desk>,
    sandbox: &Sandbox,
    work: impl FnOnce(&Desk, Arc<Capture>) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (answer, answered) = oneshot::channel::<Result<T, QueryError>>();
    let shared = Arc::clone(desk);
    sandbox.start_work(
        move || work(&shared, shared.lens.capture()),
        move |outcome| {
            // The client may have gone meanwhile.
            let _ = answer.send(outcome);
        },
    )?;
    answered.await.map_err(|_| lost())?.map_err(Problem::from)
}

pub(super) fn lost() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the thread that did the work ended without an answer")
}

/// A request's body, of at most `limit` bytes; `fix` says what to do about one that is longer.
pub(super) async fn body(request: Request, limit: usize, fix: &'static str) -> Result<Bytes, Problem> {
    let too_long = || {
        let detail = format!("the body has more than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body", detail).fix(fix)
    };
    // What says beforehand that it is too long is not waited for.
    if request.body().size_hint().lower() > limit as u64 {
        return Err(too_long());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long()),
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, "body", format!("the body cannot be read: {error}"))),
    }
}

/// What a path names. One that cannot be read is a problem like any other.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(names) = Path::from_request_parts(parts, state).await.map_err(|error| {
            Problem::new(error.status(), "path", format!("the path cannot be read: {}", error.body_text()))
        })?;
        Ok(Self(names))
    }
}

/// What must be a JSON object: serde also reads the fields of a list, in their order.
#[derive(Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(Fields(PhantomData))
    }
}

/// The query of a URL.
pub(super) struct Asked {
    format: Option<String>,
    others: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Query(mut others) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "arguments", format!("the URL's arguments cannot be read: {error}"))
        })?;
        let at = others.iter().position(|(name, _)| name == "format");
        let format = at.map(|at| others.remove(at).1);
        Ok(Self { format, others })
    }

    pub(super) fn format(&self, headers: &HeaderMap, offered: &[Format]) -> Result<Format, Problem> {
        negotiate(self.format.as_deref(), headers, offered)
    }

    /// The format, for a route that takes no other argument.
    pub(super) fn only(self, headers: &HeaderMap, offered: &[Format]) -> Result<Format, Problem> {
        let format = self.format(headers, offered)?;
        self.nothing_else(&["format"])?;
        Ok(format)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.others.iter().position(|(other, _)| other == name)?;
        Some(self.others.remove(at).1)
    }

    /// Refuses what is none of the `known` arguments, which are all that the route takes.
    pub(super) fn nothing_else(self, known: &[&str]) -> Result<(), Problem> {
        let format = self.format.filter(|_| !known.contains(&"format")).map(|_| "format".to_owned());
        let Some(name) = format.or_else(|| self.others.into_iter().next().map(|(name, _)| name)) else { return Ok(()) };
        if known.contains(&name.as_str()) {
            return Err(twice(name));
        }
        let nearest = lens_core::error::nearest(&name, known.iter().copied());
        let takes = match known {
            [] => "none".to_owned(),
            known => known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", "),
        };
        let detail = format!("this route has no argument `{name}`; it takes {takes}");
        Err(Problem::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", name).with("nearest", nearest))
    }
}

/// An argument of which only the first could count.
fn twice(name: String) -> Problem {
    let detail = format!("`{name}` is given twice");
    Problem::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", name)
}

/// A reply in the format that was asked for.
fn shown<T: Serialize>(format: Format, reply: &T, page: impl FnOnce(&T) -> Markup) -> Response<Body> {
    match format {
        Format::Html => page::respond(&page(reply)),
        _ => as_json(reply),
    }
}

/// The reply to a question; as text it is its value, what was printed before it, and what it could not see after it.
fn answered(format: Format, reply: &Value, columns: &[String], title: &str, base: &str) -> Response<Body> {
    match format {
        Format::Table | Format::Text => {
            let lines = |part: &str| reply[part].as_array().into_iter().flatten();
            let mut text: String = lines("printed").map(|line| table::harmless(table::text(line)) + "\n").collect();
            text.push_str(&table::render(&reply["value"], columns, None));
            for gap in lines("coverage") {
                let [skill, source, fix] =
                    ["skill", "source", "fix"].map(|name| table::harmless(table::text(&gap[name])));
                text.push_str(&format!("# {skill}: {source} is not there: {fix}\n"));
            }
            plain(text)
        }
        Format::Html => page::respond(&page::answer(title, reply, columns, base)),
        _ => json_text(reply),
    }
}

pub(super) fn plain(text: String) -> Response<Body> {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn json_text(reply: &Value) -> Response<Body> {
    ([(header::CONTENT_TYPE, "application/json")], table::json(reply)).into_response()
}

/// JSON as people read it in terminals.
pub(super) fn as_json<T: Serialize>(reply: &T) -> Response<Body> {
    match serde_json::to_value(reply) {
        Ok(value) => json_text(&value),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the answer is no JSON: {error}"))
                .into_response()
        }
    }
}
