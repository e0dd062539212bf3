//! How the program is started and ended.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Service, output, program};

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
    for word in ["Usage: orders [--load N] [--faults]", "ORDERS_ADDR", "LENS_ADDR", "127.0.0.1:6670"] {
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

#[test]
fn sigterm_ends_the_service_under_load() {
    let mut service = Service::start(&["--load", "100"]);
    assert_eq!(service.get("/health").status, 200);
    assert_eq!(service.end_with("-TERM").0, Some(0));
}

#[test]
fn ctrl_c_ends_the_service() {
    let mut service = Service::start(&[]);
    assert_eq!(service.end_with("-INT").0, Some(0));
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
