//! Questions in words, what happens meanwhile, and what is to follow. Separate from the other routes of the diagnosis because
//! here a client waits, or listens, and ends something by going away.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use lens_core::evidence::{Answered as Answer, EndedBy};
use lens_core::investigation::{Happened, Order, Scheduled, Strategy};
use mime::Mime;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::diagnosis::{MAX_BODY_BYTES, refused};
use super::format::Format;
use super::problem::Problem;
use super::routes::{Answered, Asked, Named, Object, Shared, as_json, body, house, plain};
use super::{Base, REQUEST_DEADLINE};

/// 16 clients may listen to events at once.
pub(super) const MAX_LISTENERS: usize = 16;

/// How long a question may take: an answer must come before the request's own deadline.
const ASK_DEADLINE: Duration = Duration::from_secs(25);
const _: () = assert!(ASK_DEADLINE.as_millis() < REQUEST_DEADLINE.as_millis());

/// How often a silent stream says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a question may say, as JSON; as plain text, it is the question.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    question: String,
    /// A running investigation whose operator of `operator` is asked, without disturbing it.
    #[serde(default)]
    investigation: Option<String>,
    #[serde(default)]
    operator: Option<String>,
}

/// What is answered.
#[derive(Serialize)]
struct Reply {
    /// The sentences that are shown, in one piece; absent if nothing could be shown.
    text: Option<String>,
    #[serde(flatten)]
    answer: Option<Answer>,
    ended_by: EndedBy,
    /// The investigation that it is kept as, with what was sent to the model.
    href: String,
}

/// Answers a question. The client's going away ends it.
pub(super) async fn ask(
    State(desk): Shared,
    Extension(Base(base)): Extension<Base>,
    uri: Uri,
    headers: HeaderMap,
    request: Request,
) -> Answered {
    let format = Asked::of(&uri)?.only(&headers, &[Format::Json, Format::Text])?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()?.parse::<Mime>().ok());
    let is_json = kind.is_some_and(|kind| kind.essence_str() == mime::APPLICATION_JSON);
    let body = body(request, MAX_BODY_BYTES, "say it in fewer words").await?;
    let wrong = |detail: String| {
        Problem::new(StatusCode::BAD_REQUEST, "body", detail)
            .fix("send the question as text/plain, or JSON like {\"question\": \"how many tasks wait?\"}")
    };
    let question: Question = match is_json {
        true => serde_json::from_slice(&body)
            .map(|Object(question)| question)
            .map_err(|error| wrong(format!("the body is no question: {error}")))?,
        false => Question {
            question: String::from_utf8(body.into()).map_err(|_| wrong("the question is not UTF-8 text".to_owned()))?,
            ..Question::default()
        },
    };
    if question.question.trim().is_empty() {
        return Err(wrong("the question is empty".to_owned()));
    }
    if desk.lens.staff().investigator.settings().model.is_none() {
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "no_model", "nobody can answer: there is no model")
            .fix("configure one with `Builder::model`, or ask in Starlark with POST /query"));
    }
    match (question.investigation, question.operator) {
        (Some(investigation), Some(operator)) => {
            let entry = desk.lens.investigations.get(&investigation).map_err(|error| refused(&error, &base))?;
            let run = entry.run.ok_or_else(|| refused(&crate::investigations::Refused::Ended, &base))?;
            let (mut answer, answered) = oneshot::channel();
            desk.lens.staff().spawn(async move {
                let said = tokio::select! {
                    said = run.ask_operator(&operator, &question.question) => said,
                    // The client has gone.
                    () = answer.closed() => return,
                };
                // It may have gone just now.
                let _ = answer.send(said);
            });
            let stopped = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "lens has stopped");
            let said = answered.await.map_err(|_| stopped())?;
            let said = said.map_err(|error| Problem::new(StatusCode::CONFLICT, "no_answer", error))?;
            Ok(as_json(&said))
        }
        (None, None) => {
            let settings = desk.lens.staff().investigator.settings();
            let mut budget = settings.budget.clone();
            budget.deadline = budget.deadline.min(ASK_DEADLINE);
            let order = Order::question(question.question).strategy(Strategy::Pipeline).budget(budget);
            let started = house(&desk, move |desk, _| desk.lens.investigations.start(order)).await?;
            let investigation = started.map_err(|error| refused(&error, &base))?;
            let href = format!("{base}/investigations/{}", investigation.id());
            let report = investigation.await.map_err(|error| refused(&error, &base))?;
            let answer = report.model.and_then(|model| model.answer).filter(|answer| !answer.facts.is_empty());
            let text = answer.as_ref().map(|answer| {
                let sentence = |text: &str| if text.ends_with('.') { text.to_owned() } else { format!("{text}.") };
                answer.facts.iter().map(|fact| sentence(&fact.text)).collect::<Vec<_>>().join(" ")
            });
            let reply = Reply { text, answer, ended_by: report.ended_by, href };
            Ok(match format {
                Format::Text => {
                    let nothing = || format!("nothing could be shown; it was ended by {}", reply.ended_by);
                    plain(format!("{}\n", reply.text.clone().unwrap_or_else(nothing)))
                }
                _ => as_json(&reply),
            })
        }
        _ => Err(wrong("an operator is asked in an investigation: name both".to_owned())),
    }
}

/// What happens in investigations, as server-sent events, until the client goes away.
pub(super) async fn events(State(desk): Shared, uri: Uri) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    let place = std::sync::Arc::clone(&desk.listeners).try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", format!("{MAX_LISTENERS} clients listen already"))
    })?;
    let mut listener = desk.lens.staff().investigator.events().listen();
    let (mut sender, receiver) = Channel::<Bytes>::new(16);
    // Dropped with the answer's body, which goes when the connection does.
    let (heard, gone) = oneshot::channel::<Infallible>();
    let body = receiver.map_frame(move |frame| {
        let _heard = &heard;
        frame
    });
    tokio::spawn(async move {
        let _place = place;
        let talk = async {
            let mut missed = 0;
            // A first line, so that the client knows at once that it is heard.
            let mut line = ": lens\n\n".to_owned();
            while sender.send_data(Bytes::from(std::mem::take(&mut line))).await.is_ok() {
                line = match tokio::time::timeout(HEARTBEAT, listener.next()).await {
                    Err(_) => ":\n\n".to_owned(),
                    Ok(None) => return,
                    Ok(Some(happened)) => {
                        let lost = listener.missed_total() - missed;
                        missed += lost;
                        event(&happened, lost)
                    }
                };
            }
        };
        // Not only at the next line: a silent stream would keep the place of a client that has gone.
        tokio::select! {
            () = talk => {}
            _ = gone => {}
        }
    });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// What happened as lines of the stream, after how many were `lost` before it.
fn event(happened: &Happened, lost: u64) -> String {
    let json = serde_json::to_string(happened).unwrap_or_default();
    let event = format!("id: {}\nevent: {}\ndata: {json}\n\n", happened.number, happened.event.word());
    match lost {
        0 => event,
        lost => format!("event: missed\ndata: {{\"missed\":{lost}}}\n\n{event}"),
    }
}

/// Investigations that are to follow.
pub(super) async fn schedules(State(desk): Shared, uri: Uri) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    let waiting: Vec<Scheduled> = desk.lens.staff().schedules.list();
    Ok(as_json(&waiting))
}

/// Keeps one from following.
pub(super) async fn cancel_schedule(State(desk): Shared, Named(id): Named<String>, uri: Uri) -> Answered {
    Asked::of(&uri)?.nothing_else(&[])?;
    match desk.lens.staff().schedules.take(&id) {
        Some(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "nothing of this id is to follow (any more)")),
    }
}
