//! A started service, and as much of an HTTP client as the tests need. The process is ended with the value.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The program, listening on free ports.
pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_orders"));
    program.env("ORDERS_ADDR", "127.0.0.1:0").env("LENS_ADDR", "127.0.0.1:0").env("ORDERS_LOG", "off");
    program
}

/// What the program says and how it ends, if it ends by itself.
pub(crate) fn output(program: &mut Command) -> Output {
    program.output().unwrap()
}

/// A running service.
pub(crate) struct Service {
    process: Child,
    address: String,
    /// Where lens listens, if it is compiled in.
    #[cfg_attr(not(feature = "lens"), expect(dead_code, reason = "only the tests of lens ask it"))]
    lens_address: Option<String>,
    log: Arc<Mutex<Vec<String>>>,
}

/// An answer of the service.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Service {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_program(program().args(arguments))
    }

    pub(crate) fn start_program(program: &mut Command) -> Self {
        let mut process = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = stdout.next().unwrap().strip_prefix("orders: http://").unwrap().to_owned();
        let lens_address = cfg!(feature = "lens").then(|| {
            let line = stdout.next().unwrap();
            line.strip_prefix("lens: http://").unwrap().strip_suffix("/debug/lens").unwrap().to_owned()
        });
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), process.stderr.take().unwrap());
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line));
        });
        Self { process, address, lens_address, log }
    }

    /// How many lines on stderr have this in them.
    pub(crate) fn logged(&self, text: &str) -> u64 {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count() as u64
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        request(&self.address, method, path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str) -> Answer {
        self.request("POST", path, "")
    }

    /// Sends a request to lens's own address.
    #[cfg(feature = "lens")]
    pub(crate) fn lens(&self, method: &str, path: &str, body: &str) -> Answer {
        request(self.lens_address.as_deref().unwrap(), method, path, body)
    }

    /// What a query gives, asked at lens's own address.
    #[cfg(feature = "lens")]
    pub(crate) fn query(&self, script: &str) -> Value {
        let answer = self.lens("POST", "/debug/lens/query", script);
        assert_eq!(answer.status, 200, "{script}: {answer:?}");
        answer.body["value"].clone()
    }

    /// Sends a signal, and waits until the process has ended; gives its exit code and how long that took.
    pub(crate) fn end_with(&mut self, signal: &str) -> (Option<i32>, Duration) {
        let sent = Instant::now();
        let kill = Command::new("kill").args([signal, &self.pid().to_string()]).status().unwrap();
        assert!(kill.success());
        let status = until("the process ends", || self.process.try_wait().unwrap());
        (status.code(), sent.elapsed())
    }
}

/// Sends a request with a connection of its own. A body that is no JSON reads as a JSON string.
fn request(address: &str, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    Answer { status, head: head.to_ascii_lowercase(), body }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks `is_there` again and again until it gives something.
pub(crate) fn until<T>(what: &str, is_there: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, is_there)
}

/// The same, with another deadline.
pub(crate) fn within<T>(deadline: Duration, what: &str, mut is_there: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = is_there() {
            return found;
        }
        assert!(started.elapsed() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[should_panic(expected = "waited in vain until pigs fly")]
fn waiting_ends_with_what_was_waited_for() {
    within(Duration::from_millis(20), "pigs fly", || None::<()>);
}
