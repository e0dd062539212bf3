//! lens's routes inside the service's own router: the service's server hands over the requests of those who may ask, and
//! waits, and lens's thread answers them. Separate because this half runs on the service's runtime, where lens must do
//! nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri};
use axum::http::{Extensions, Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use http_body_util::{BodyExt, Limited};
use tokio::sync::{mpsc, oneshot};

use super::gate::Gate;
use super::problem::Problem;
use super::{Base, Site, dressed};

/// Requests that may wait for lens's thread; further ones are refused.
pub(super) const MAX_WAITING: usize = 64;

/// The largest body that is taken over. Routes have their own, smaller limits.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request on its way to lens's thread.
pub(super) struct Nested {
    request: Request<Body>,
    answer: oneshot::Sender<Response<Body>>,
}

/// The router that hands over what `gate` lets in.
pub(super) fn router(gate: Gate, to: mpsc::Sender<Nested>) -> Router {
    let hand_over = move |request: Request<Body>| {
        let (gate, to) = (gate.clone(), to.clone());
        async move { hand_over(&gate, &to, request).await.unwrap_or_else(|problem| dressed(problem.into_response())) }
    };
    Router::new().route("/", any(hand_over.clone())).fallback(hand_over)
}

async fn hand_over(gate: &Gate, to: &mpsc::Sender<Nested>, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let (head, body) = request.into_parts();
    gate.check(&head, peer(&head.extensions))?;
    // The body's stream belongs to the service's runtime, so it is read here.
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body",
            format!("the body cannot be read or has more than {MAX_BODY_BYTES} bytes: {error}"),
        )
    })?;
    let request = Request::from_parts(head, Body::from(body.to_bytes()));
    let (answer, answered) = oneshot::channel();
    to.try_send(Nested { request, answer }).map_err(|refused| match refused {
        mpsc::error::TrySendError::Full(_) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", "too many requests wait for lens; try again")
        }
        mpsc::error::TrySendError::Closed(_) => stopped(),
    })?;
    answered.await.map_err(|_| stopped())
}

/// Who asks, if the service's server tells.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

fn stopped() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", "lens has been stopped")
}

/// Answers what is handed over, on lens's thread.
pub(super) async fn serve(site: &Arc<Site>, mut handed_over: mpsc::Receiver<Nested>) {
    while let Some(Nested { request, answer }) = handed_over.recv().await {
        let site = Arc::clone(site);
        tokio::spawn(async move {
            let peer = peer(request.extensions());
            let path = request.uri().path().to_owned();
            let whole =
                request.extensions().get::<OriginalUri>().map_or_else(|| path.clone(), |uri| uri.path().to_owned());
            let base = whole.strip_suffix(&path).or_else(|| whole.strip_suffix('/')).unwrap_or(&whole).to_owned();
            let mut answer = answer;
            let response = tokio::select! {
                response = site.answer(request, &path, Base(base), peer) => response,
                // The client has gone; what it asked for ends here.
                () = answer.closed() => return,
            };
            let _ = answer.send(response);
        });
    }
    // The service holds no router any more, but lens's own listener goes on.
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::{Bytes, Frame};
    use tower::ServiceExt;

    use super::*;

    /// A body that nobody may read.
    struct Untouched;

    impl hyper::body::Body for Untouched {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            panic!("the body is read")
        }
    }

    #[tokio::test]
    async fn the_body_of_one_who_may_not_ask_is_not_read() {
        let (to, mut handed_over) = mpsc::channel(MAX_WAITING);
        let gate = |token: Option<&str>| Gate::new(token.map(str::to_owned));
        for (gate, expected) in
            [(gate(None), StatusCode::FORBIDDEN), (gate(Some("correct horse")), StatusCode::UNAUTHORIZED)]
        {
            let request = Request::post("/query").header("host", "127.0.0.1").header("authorization", "Bearer wrong");
            let mut request = request.body(Body::new(Untouched)).unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 7], 1))));
            let response = router(gate, to.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), expected);
            assert!(response.headers().contains_key("x-content-type-options"), "as all answers of lens");
            assert!(handed_over.try_recv().is_err());
        }
    }
}
