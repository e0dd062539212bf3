//! lens over HTTP, on a thread and a runtime of its own: it answers while every worker of the service is blocked.
//! Separate because nothing else of lens depends on it.

mod conversation;
mod diagnosis;
mod format;
mod gate;
mod heap;
mod nested;
mod page;
mod patient;
mod problem;
mod prometheus;
mod reply;
mod report_page;
mod routes;
mod tasks;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lens_core::sandbox::{Limits, Sandbox};
use lens_core::{Timestamp, threads};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tower::ServiceExt;

use crate::error::Error;
use crate::handle::Inner;
use gate::Gate;
use nested::Nested;
use patient::Patient;
use problem::Problem;

/// Where lens's routes are on its own listener.
pub(crate) const PREFIX: &str = "/debug/lens";

/// Connections that are served at once; further ones are closed at once.
pub(crate) const MAX_CONNECTIONS: usize = 256;

/// How long a client may take to send a request's head, and a kept connection may be idle.
pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a request may take in all, its body included. Queries have their own, shorter limit.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// How long a client may read nothing while there is something to send to it.
pub(crate) const READING_PATIENCE: Duration = Duration::from_secs(30);

/// The thread that serves lens, and how to reach it.
pub(crate) struct Server {
    address: Option<SocketAddr>,
    gate: Gate,
    nested: mpsc::Sender<Nested>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Takes the address before anything is started, so that a taken one is an error of `start`.
pub(crate) fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    let refused = |source| Error::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

impl Server {
    pub(crate) fn start(
        inner: &Arc<Inner>,
        listener: Option<std::net::TcpListener>,
        token: Option<String>,
    ) -> Result<Self, Error> {
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| lens_core::Error::Thread { name: "lens-http", source })?;
        let (nested, handed_over) = mpsc::channel(nested::MAX_WAITING);
        let (stop, stopped) = oneshot::channel();
        let (gate, router) = (Gate::new(token), routes::router(Desk::new(inner)));
        let site = Arc::new(Site { gate: gate.clone(), router, patience: READING_PATIENCE });
        let thread = threads::spawn("lens-http", None, move || {
            runtime.block_on(async {
                let listener = listener.and_then(|listener| TcpListener::from_std(listener).ok());
                tokio::select! {
                    _ = stopped => {}
                    () = serve(&site, listener) => {}
                    () = nested::serve(&site, handed_over) => {}
                }
            });
            // Connections end with the runtime; nothing on it can block.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, gate, nested, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub(crate) fn router(&self) -> Router {
        nested::router(self.gate.clone(), self.nested.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been its end already.
            let _ = thread.join();
        }
    }
}

/// What the routes work with.
struct Desk {
    lens: Arc<Inner>,
    /// Where lens's own pages are made, so that they come while queries take all places.
    house: Sandbox,
    started_at: Timestamp,
    /// One place for each who listens to events.
    listeners: Arc<Semaphore>,
}

impl Desk {
    fn new(lens: &Arc<Inner>) -> Arc<Self> {
        Arc::new(Self {
            lens: Arc::clone(lens),
            house: Sandbox::new(Limits::default()),
            started_at: Timestamp::now(),
            listeners: Arc::new(Semaphore::new(conversation::MAX_LISTENERS)),
        })
    }
}

/// What answers requests, whichever way they came.
struct Site {
    gate: Gate,
    router: Router,
    /// [`READING_PATIENCE`].
    patience: Duration,
}

/// Where lens's routes begin in the URL that the client used: for links.
#[derive(Clone)]
struct Base(String);

async fn serve(site: &Arc<Site>, listener: Option<TcpListener>) {
    let Some(listener) = listener else { return std::future::pending().await };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of file descriptors, mostly: the service needs them more than lens does.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let site = Arc::clone(site);
        tokio::spawn(async move {
            let _place = place;
            let answer = service_fn(|request: Request<hyper::body::Incoming>| {
                let site = Arc::clone(&site);
                async move {
                    let request = request.map(Body::new);
                    Ok::<_, Infallible>(match strip(request.uri()) {
                        Some(path) => site.answer(request, &path, Base(PREFIX.to_owned()), Some(peer)).await,
                        None => dressed(
                            Problem::new(StatusCode::NOT_FOUND, "not_found", format!("lens is at {PREFIX}"))
                                .into_response(),
                        ),
                    })
                }
            });
            let mut connection = http1::Builder::new();
            connection.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(64 << 10);
            let stream = TokioIo::new(Patient::new(stream, site.patience));
            // A client that breaks off is its own business.
            let _ = connection.serve_connection(stream, answer).await;
        });
    }
}

/// The path below [`PREFIX`].
fn strip(uri: &Uri) -> Option<String> {
    let rest = uri.path().strip_prefix(PREFIX)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
}

impl Site {
    /// Answers a request whose path below lens's routes is `path`.
    async fn answer(&self, request: Request<Body>, path: &str, base: Base, peer: Option<SocketAddr>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        if let Err(refusal) = self.gate.check(&head, peer) {
            return dressed(refusal.into_response());
        }
        let path = path.trim_end_matches('/');
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("/{}{query}", path.trim_start_matches('/'));
        let Ok(target) = target.parse::<PathAndQuery>() else {
            return dressed(Problem::new(StatusCode::BAD_REQUEST, "path", "the path cannot be read").into_response());
        };
        head.uri = Uri::from(target);
        head.extensions.insert(base);
        let answer = self.router.clone().oneshot(Request::from_parts(head, body));
        let response = match tokio::time::timeout(REQUEST_DEADLINE, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "deadline",
                format!("the request took longer than {} s", REQUEST_DEADLINE.as_secs()),
            )
            .into_response(),
        };
        dressed(response)
    }
}

/// The headers that every answer has.
fn dressed(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

#[cfg(test)]
mod tests;
