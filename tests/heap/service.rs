//! A lens in this process, a client that is nothing but a socket, and three lines that hold memory.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Sampling is the process's, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Service {
    pub(crate) lens: lens::Lens,
    _turn: MutexGuard<'static, ()>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Service {
    pub(crate) fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lens = lens::Builder::new().address(([127, 0, 0, 1], 0)).start().unwrap();
        Self { lens, _turn: turn }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        let address = self.lens.address().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let head = format!("{method} /debug/lens{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(reply[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_ascii_lowercase(), body: reply[end + 4..].to_vec() }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "")
    }

    /// The value of a script, as soon as the functions that it needs are found.
    pub(crate) fn query(&self, script: &str) -> Value {
        let mut value = Value::Null;
        until(&format!("{script} has a value"), || {
            let reply = self.ask("POST", "/query", script);
            // Lines are looked up, or the machine is slow: neither is what these tests are about.
            let is_early = ["ask again", "did not end within", "has not answered"]
                .iter()
                .any(|early| reply.text().contains(early));
            assert!(is_early || reply.status == 200, "{script}: {}", reply.text());
            value = reply.json()["value"].clone();
            !is_early
        });
        value
    }

    /// Starts sampling as a user would.
    pub(crate) fn sample(&self, seconds: u32) {
        let reply = self.ask("POST", &format!("/pprof/heap?seconds={seconds}"), "");
        assert_eq!(reply.status, 202, "{}", reply.text());
    }

    pub(crate) fn stop(&self) {
        assert_eq!(self.ask("DELETE", "/pprof/heap", "").status, 204);
    }

    pub(crate) fn is_sampling(&self) -> bool {
        self.query("heap.sampling().is_on").as_bool().unwrap()
    }
}

/// A line of this file that holds memory.
pub(crate) struct Holder {
    pub(crate) function: &'static str,
    pub(crate) line: u32,
    pub(crate) bytes: u32,
    pub(crate) hold: fn() -> Held,
}

pub(crate) type Held = Vec<Vec<u8>>;

/// Three call sites: the most, less, and the least.
pub(crate) const HOLDERS: [Holder; 3] = [
    Holder { function: "heap::service::pages", line: PAGES, bytes: 40 << 20, hold: pages },
    Holder { function: "heap::service::sessions", line: SESSIONS, bytes: 20 << 20, hold: sessions },
    Holder { function: "heap::service::names", line: NAMES, bytes: 8 << 20, hold: names },
];

const PAGES: u32 = line!() + 4;
#[inline(never)]
fn pages() -> Held {
    let mut held = Vec::with_capacity(640);
    (0..640).for_each(|_| held.push(black_box(vec![1; 64 << 10])));
    held
}

const SESSIONS: u32 = line!() + 4;
#[inline(never)]
fn sessions() -> Held {
    let mut held = Vec::with_capacity(20 << 10);
    (0..20 << 10).for_each(|_| held.push(black_box(vec![1; 1 << 10])));
    held
}

const NAMES: u32 = line!() + 4;
#[inline(never)]
fn names() -> Held {
    let mut held = Vec::with_capacity(64 << 10);
    (0..64 << 10).for_each(|_| held.push(black_box(vec![1; 128])));
    held
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
