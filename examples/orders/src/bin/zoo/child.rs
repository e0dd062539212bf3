//! The service under test: this program once more, as a process of its own that ends with the value, and as much HTTP as
//! is needed to talk to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Service {
    process: Child,
    address: String,
    lens: String,
}

impl Service {
    pub(crate) fn start(arguments: &[&str]) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(crate::SERVICE)
            .args(arguments)
            .env("ORDERS_ADDR", "127.0.0.1:0")
            .env("LENS_ADDR", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let Some(stdout) = process.stdout.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut lines = BufReader::new(stdout).lines();
        let mut address = |name: &str| {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": http://"));
            let address = rest.and_then(|rest| rest.split('/').next()).map(str::to_owned);
            address.ok_or_else(|| io::Error::other(format!("the service said {line:?}")))
        };
        let (address, lens) = (address("orders")?, address("lens")?);
        Ok(Self { process, address, lens })
    }

    /// Asks the service itself.
    pub(crate) fn service(&self, method: &str, path: &str) -> io::Result<String> {
        request(&self.address, method, path, "")
    }

    /// Asks lens, for JSON.
    pub(crate) fn lens(&self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        serde_json::from_str(&self.lens_text(method, path, body)?).map_err(io::Error::other)
    }

    /// Asks lens.
    pub(crate) fn lens_text(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        request(&self.lens, method, &format!("/debug/lens{path}"), body)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn request(address: &str, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    if (200..300).contains(&status) { Ok(body.to_owned()) } else { Err(io::Error::other(format!("{status}: {body}"))) }
}
