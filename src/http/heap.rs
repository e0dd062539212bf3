//! `/pprof/heap`: profiles of the heap for other tools, and the sampling that they need. Separate from the other routes
//! because nothing else of lens acts on the service: `POST` and `?seconds=` sample its allocations, for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::get;
use lens_core::{Capture, Unavailable};
use serde_json::json;

use super::Desk;
use super::format::Format;
use super::problem::Problem;
use super::routes::{Answered, Asked, Shared, as_json, work};
use crate::heap::{Drawing, Held, SampleHeapError, draw, read};

/// The longest difference that a request waits for; `POST` samples for longer. Below the deadline of a request, with room
/// for reading two profiles.
const MAX_SECONDS: u64 = 15;

/// For how long `POST` samples unless it says so.
const DEFAULT_SECONDS: u64 = 60;

/// The longest sampling.
const MAX_SAMPLING_SECONDS: u64 = 3600;

/// How long a request waits for the functions of a profile.
const PATIENCE: Duration = Duration::from_secs(6);

/// For how long sampling goes on past the time that was asked for, while profiles are read.
const MARGIN: Duration = Duration::from_secs(10);

/// A page that is nothing but a drawing with a script of its own.
const DRAWING: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The route.
pub(super) const PATH: &str = "/pprof/heap";

pub(super) fn add(router: Router<Arc<Desk>>) -> Router<Arc<Desk>> {
    router.route(PATH, get(profile).post(start).delete(stop))
}

async fn profile(State(desk): Shared, uri: Uri, headers: HeaderMap) -> Answered {
    let mut asked = Asked::of(&uri)?;
    let drawing = match asked.format(&headers, &[Format::Pprof, Format::FlameGraph])? {
        Format::FlameGraph => Drawing::FlameGraph,
        _ => Drawing::Pprof,
    };
    let seconds = asked.take("seconds");
    asked.nothing_else(&["format", "seconds"])?;
    let seconds = seconds.map(|seconds| parse(&seconds, MAX_SECONDS)).transpose()?;

    let earlier = match seconds {
        None => None,
        Some(seconds) => Some(wait(&desk, Duration::from_secs(seconds)).await?),
    };
    let capture = patiently(&desk).await?;
    let at = capture.at();
    let drawn = work(&desk, &desk.lens.sandbox, move |_, _| {
        draw(drawing, &capture, earlier.as_ref().map(|(_, earlier)| &**earlier))
    });
    let drawn = drawn.await?.map_err(refused)?;
    let name = at.to_string().replace(':', "-");
    Ok(match drawing {
        Drawing::FlameGraph => {
            let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CONTENT_SECURITY_POLICY, DRAWING)];
            (headers, drawn).into_response()
        }
        Drawing::Pprof => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (header::CONTENT_DISPOSITION, format!("attachment; filename=\"lens-heap-{name}.pb.gz\"")),
            ];
            (headers, drawn).into_response()
        }
    })
}

/// Samples for `length`, unless that is on anyway; gives what was alive before.
async fn wait(desk: &Arc<Desk>, length: Duration) -> Result<(Option<Box<dyn Held>>, Arc<Capture>), Problem> {
    let held = work(desk, &desk.lens.sandbox, move |desk, capture| match desk.lens.heap.sample(length + MARGIN) {
        Ok(held) => Ok(Some(held)),
        Err(SampleHeapError::Busy { until }) if until.since(capture.at()) >= length => Ok(None),
        Err(error) => Err(error),
    });
    // Held until the difference is drawn, and let go if the client leaves: sampling ends with it.
    let held = held.await??;
    let earlier = patiently(desk).await?;
    tokio::time::sleep(length).await;
    Ok((held, earlier))
}

/// A capture whose profile has been read: the functions of the first one may take some seconds to be found.
async fn patiently(desk: &Arc<Desk>) -> Result<Arc<Capture>, Problem> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match work(desk, &desk.lens.sandbox, |_, capture| read(&capture).map(|()| capture)).await? {
            Err(Unavailable::NotYet { .. }) if Instant::now() < deadline => {}
            read => return read.map_err(refused),
        }
    }
}

async fn start(State(desk): Shared, uri: Uri, headers: HeaderMap) -> Answered {
    let mut asked = Asked::of(&uri)?;
    asked.format(&headers, &[Format::Json])?;
    let seconds = asked.take("seconds");
    asked.nothing_else(&["format", "seconds"])?;
    let seconds = seconds.map_or(Ok(DEFAULT_SECONDS), |seconds| parse(&seconds, MAX_SAMPLING_SECONDS))?;
    work(&desk, &desk.lens.sandbox, move |desk, _| desk.lens.heap.sample(Duration::from_secs(seconds)).map(Held::keep))
        .await??;
    let next = "heap.profile(by=\"growth\") in a query, or GET this route";
    let mut response = as_json(&json!({"sampling_seconds": seconds, "then": next}));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

async fn stop(State(desk): Shared, uri: Uri) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    if desk.lens.heap.stop() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "not_sampling", "lens does not sample allocations now"))
}

/// A number of seconds from 1 to `most`.
fn parse(seconds: &str, most: u64) -> Result<u64, Problem> {
    seconds.parse().ok().filter(|seconds| (1..=most).contains(seconds)).ok_or_else(|| {
        let detail = format!("`seconds` is a whole number from 1 to {most}, not {seconds:?}");
        Problem::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", "seconds")
    })
}

fn refused(reason: Unavailable) -> Problem {
    Problem::unavailable(format!("the heap's profile is unavailable: {reason}"), &reason)
}

impl From<SampleHeapError> for Problem {
    fn from(error: SampleHeapError) -> Self {
        let detail = error.to_string();
        match error {
            SampleHeapError::Busy { until } => Self::new(StatusCode::CONFLICT, "busy", detail)
                .with("until", until.to_string())
                .fix("wait until then, or end it: `DELETE` on this route"),
            SampleHeapError::Length => Self::new(StatusCode::BAD_REQUEST, "argument", detail),
            SampleHeapError::Unavailable(reason) => refused(reason),
        }
    }
}
