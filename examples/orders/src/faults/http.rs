//! The faults over HTTP: list, start, end.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

use super::truth::Truth;
use super::{Bound, Choice, Progress, Refusal, Zoo, all};
use crate::app::App;
use crate::problem::Problem;

/// A fault, as it is listed.
#[derive(Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
    truth: Truth,
    removable: bool,
    seconds: Bound,
    rate: Option<Bound>,
    count: Bound,
    unit: &'static str,
    /// How far it has come, or null if it does not go on.
    running: Option<Progress>,
}

#[derive(Serialize)]
struct Started {
    name: &'static str,
    truth: Truth,
    running: Progress,
}

/// `/faults` and what is below it.
pub fn router(zoo: Arc<Zoo>) -> Router<Arc<App>> {
    Router::new().route("/faults", get(list)).route("/faults/{name}", post(start).delete(stop)).with_state(zoo)
}

async fn list(State(zoo): State<Arc<Zoo>>) -> Json<Vec<Listed>> {
    let listed = all().map(|fault| Listed {
        name: fault.name,
        about: fault.about,
        truth: fault.truth,
        removable: fault.removable,
        seconds: fault.seconds,
        rate: fault.rate,
        count: fault.count,
        unit: fault.unit,
        running: zoo.progress(fault.name),
    });
    Json(listed.collect())
}

async fn start(
    State(zoo): State<Arc<Zoo>>,
    Path(name): Path<String>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Query(choice) = choice?;
    let running = zoo.start(&name, choice).map_err(|refusal| problem(&name, refusal))?;
    let fault = super::find(&name).map_err(|refusal| problem(&name, refusal))?;
    tracing::warn!(fault = name, "fault started");
    Ok((StatusCode::ACCEPTED, Json(Started { name: fault.name, truth: fault.truth, running })))
}

async fn stop(State(zoo): State<Arc<Zoo>>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let is_gone = zoo.stop(&name).await.map_err(|refusal| problem(&name, refusal))?;
    tracing::warn!(fault = name, "fault ended");
    Ok(if is_gone { StatusCode::NO_CONTENT } else { StatusCode::ACCEPTED })
}

fn problem(name: &str, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Unknown => {
            let names: Vec<_> = all().map(|fault| fault.name).collect();
            Problem::not_found(format!("there is no fault `{name}`; there are {}", names.join(", ")))
        }
        Refusal::Running => Problem::conflict(format!("`{name}` goes on already")),
        Refusal::NotRunning => Problem::conflict(format!("`{name}` does not go on")),
        Refusal::NotRemovable => Problem::conflict(format!("`{name}` cannot be ended; it ends by itself")),
        Refusal::Choice(why) => Problem::bad_request(why),
    }
}
