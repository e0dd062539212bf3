//! A lens under test, and a client that is nothing but a socket, so that it can also send what no client would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One lens runs in a process, so tests that start one take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A lens that watches a runtime of two workers.
pub(crate) struct Service {
    // Dropped in this order: lens, its runtime, the turn.
    lens: Option<lens::Lens>,
    runtime: Option<tokio::runtime::Runtime>,
    _turn: MutexGuard<'static, ()>,
}

impl Service {
    pub(crate) fn start() -> Self {
        Self::start_with(|builder| builder)
    }

    pub(crate) fn start_with(set: impl FnOnce(lens::Builder) -> lens::Builder) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = lens::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let entered = runtime.enter();
        let lens = set(lens::Builder::new().address(([127, 0, 0, 1], 0))).start().unwrap();
        drop(entered);
        Self { lens: Some(lens), runtime: Some(runtime), _turn: turn }
    }

    /// The turn alone, for a test whose lens does not start.
    pub(crate) fn turn() -> MutexGuard<'static, ()> {
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lens(&self) -> &lens::Lens {
        self.lens.as_ref().unwrap()
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.lens().address().unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        ask(self.address(), "GET", &format!("/debug/lens{path}"), &[], b"")
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        ask(self.address(), "GET", &format!("/debug/lens{path}"), headers, b"")
    }

    pub(crate) fn query(&self, script: &str) -> Reply {
        ask(self.address(), "POST", "/debug/lens/query", &[], script.as_bytes())
    }

    /// The value of a script that must be right.
    pub(crate) fn value(&self, script: &str) -> Value {
        let reply = self.query(script);
        assert_eq!(reply.status, 200, "{script}: {}", reply.body);
        reply.json()["value"].clone()
    }

    /// Asks until the script's value is as wanted.
    pub(crate) fn wait_until(&self, script: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let value = self.value(script);
            if wanted(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{script} is still {value}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.lens.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The code of a problem, which must be one.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn ask(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut request = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    // The server may answer and close before it has read a body that is too large.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    parse(&answer)
}

fn parse(answer: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { dechunked(body) } else { body.to_owned() };
    Reply { status, head: head.to_owned(), body }
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}
