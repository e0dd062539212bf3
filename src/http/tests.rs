//! Clients that read and clients that do not, against a server with little patience.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::routing::get;

use lens_core::investigation::{Order, Strategy};
use lens_core::model::{ErrorClass, Line, Scripted};

use super::*;

/// Short, so that the tests are; long for a client on this machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// More than sockets keep for a client.
const LARGE_BYTES: usize = 64 << 20;

/// An answer that is counted when it is dropped.
struct Large(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves `router` below the prefix, as long as the runtime lives.
fn served(router: Router) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let site = Arc::new(Site { gate: Gate::new(None), router, patience: PATIENCE });
    runtime.spawn(async move { serve(&site, Some(TcpListener::from_std(listener).unwrap())).await });
    (runtime, address)
}

fn asked(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {PREFIX}{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

/// A server of a large answer, and how many answers were dropped.
fn large() -> (tokio::runtime::Runtime, SocketAddr, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&dropped);
    let answer = move || {
        let body = Bytes::from_owner(Large(vec![b'a'; LARGE_BYTES], Arc::clone(&counter)));
        async move { body }
    };
    let (runtime, address) = served(Router::new().route("/large", get(answer)));
    (runtime, address, dropped)
}

#[test]
fn an_answer_is_not_kept_for_a_client_that_reads_nothing() {
    let (_runtime, address, dropped) = large();
    let _unread = asked(address, "/large");
    let start = Instant::now();
    while dropped.load(Ordering::Relaxed) == 0 {
        assert!(start.elapsed() < PATIENCE * 10, "the answer is kept");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_client_that_reads_slowly_gets_the_whole_answer() {
    let (_runtime, address, _) = large();
    let mut stream = asked(address, "/large");
    let start = Instant::now();
    let mut part = vec![0; 2 << 20];
    let mut count = 0;
    while let read @ 1.. = stream.read(&mut part).unwrap() {
        count += read;
        // In all, longer than the server is patient.
        std::thread::sleep(Duration::from_millis(40));
    }
    assert!(count > LARGE_BYTES && start.elapsed() > PATIENCE, "{count} bytes in {:?}", start.elapsed());
}

#[test]
fn a_client_that_listens_to_events_stays() {
    let model = Scripted::new(|_| Line::fails(ErrorClass::Unauthorized));
    let lens = crate::Builder::new().no_listener().model(model).start().unwrap();
    let here = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1)));
    let (_runtime, address) = served(lens.router().layer(axum::Extension(here)));
    let mut lines = BufReader::new(asked(address, "/events")).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == ": lens"));
    // Nothing happens for longer than the server is patient.
    std::thread::sleep(PATIENCE * 2);
    let investigation = lens.investigate_with(Order::new("is anybody there?").strategy(Strategy::Pipeline)).unwrap();
    investigation.wait().unwrap();
    let next = lines.find(|line| line.starts_with("event: ") || line == ":");
    assert_eq!(next.as_deref(), Some("event: started"), "before the next sign of life");
}
