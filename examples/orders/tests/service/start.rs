//! How the program is started and ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Service, output, program, until};

fn assert_fails(program: &mut Command, code: i32, error: &str) {
    let output = output(program);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.starts_with(&format!("orders: {error}")), "{stderr}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn help_is_printed_for_who_asks() {
    let output = output(program().arg("--help"));
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for word in
        ["Usage: orders [--load N] [--pattern PATTERN] [--faults]", "ORDERS_ADDR", "LENS_ADDR", "127.0.0.1:6670"]
    {
        assert!(help.contains(word), "{word} is missing: {help}");
    }
    assert_eq!(output.stderr, b"");
}

#[test]
fn what_is_not_understood_ends_with_code_2() {
    assert_fails(program().arg("--fault"), 2, "unknown argument `--fault`\nTry `orders --help`.");
    assert_fails(program().args(["--load", "many"]), 2, "`--load many` is not a whole number from 1 to 5000");
    assert_fails(program().env("ORDERS_ADDR", "here"), 2, "ORDERS_ADDR=`here` is not an address and port");
    assert_fails(program().env("LENS_ADDR", "127.0.0.1"), 2, "LENS_ADDR=`127.0.0.1` is not an address and port");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_fails(program().env("ORDERS_ADDR", &address), 1, &format!("cannot listen on {address}: Address already"));
}

/// Starts services until one has ended by itself: on a busy machine, that may take one longer than it is given.
#[track_caller]
fn ends_by_itself(signal: &str, start: impl Fn() -> Service) {
    let is_forced = |_| {
        let code = start().end_with(signal).0;
        assert!(code == Some(0) || code == Some(1), "{code:?}");
        code == Some(1)
    };
    assert!(!(0..3).all(is_forced));
}

#[test]
fn sigterm_ends_the_service_under_load() {
    ends_by_itself("-TERM", || {
        let service = Service::start(&["--load", "100"]);
        assert_eq!(service.get("/health").status, 200);
        service
    });
}

#[test]
fn sigterm_ends_the_service_although_a_request_never_does() {
    let mut service = Service::start(&[]);
    let mut client = TcpStream::connect(service.address()).unwrap();
    // The handler waits for a body that never comes; that it does is told by the server's first line.
    let head = "POST /orders HTTP/1.1\r\nhost: orders\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\
                expect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut line = [0; 12];
    client.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HTTP/1.1 100");
    let (code, elapsed) = service.end_with("-TERM");
    assert_eq!(code, Some(1));
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

#[test]
fn sigterm_ends_the_service_while_it_warms_up() {
    let mut process = program();
    process.args(["--pattern", "slow-start"]).env("ORDERS_LOG", "info").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut process = process.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with("warming up\n"), "{line}");
    let kill = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let status = until("the process ends", || process.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_saturated_service_answers_and_ends() {
    ends_by_itself("-TERM", || {
        let service = Service::start(&["--pattern", "saturated", "--load", "20"]);
        until("orders are placed", || (service.get("/health").body["orders"].as_u64()? > 5).then_some(()));
        service
    });
}

#[test]
fn ctrl_c_ends_the_service() {
    ends_by_itself("-INT", || Service::start(&[]));
}

#[test]
fn sigterm_ends_the_service_while_every_worker_is_blocked() {
    let mut service = Service::start(&["--faults"]);
    assert_eq!(service.post("/faults/all_blocked?seconds=60").status, 202);
    std::thread::sleep(Duration::from_millis(300));
    let (code, elapsed) = service.end_with("-TERM");
    assert!(code == Some(0) || code == Some(1), "{code:?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}
