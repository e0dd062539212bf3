//! A lens whose queries run in processes of their own, asked over HTTP as anybody asks it. It has a `main` of its own
//! because that is where a query's process begins.

#[path = "integration/support.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
#[expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::ask;

const ENDLESS: &str = "for a in range(1000000):\n for b in range(1000000): pass";

#[expect(clippy::print_stdout, reason = "a harness of its own says how it went")]
fn main() {
    let too_early = lens::Builder::new().no_listener().isolate_queries().start();
    lens::worker();
    assert!(
        matches!(too_early, Err(lens::Error::Core(_))),
        "without `worker` a query would be the service: {too_early:?}"
    );
    let here = start(lens::Builder::new());
    let told_here = told(here.address().expect("it listens"));
    drop(here);
    let lens = start(lens::Builder::new().isolate_queries());
    let isolated = lens.address().expect("it listens");
    assert_eq!(told(isolated), told_here);
    a_query_is_a_process_that_ends_with_its_deadline(isolated);
    a_query_is_a_process_that_ends_with_its_client(isolated);
    println!("queries in processes of their own, over HTTP: ok");
}

fn start(builder: lens::Builder) -> lens::Lens {
    // A debug build's process takes a while to start on a busy machine.
    let mut limits = lens::sandbox::Limits::default();
    limits.wall = Duration::from_secs(5);
    builder.address(([127, 0, 0, 1], 0)).limits(limits).start().expect("lens starts")
}

/// Scripts with what they are answered, but for what differs from query to query.
fn told(address: SocketAddr) -> Vec<(&'static str, u16, serde_json::Value)> {
    let scripts = [
        "6 * 7",
        "print(\"a\")\n{\"b\": [1.5, None, \"é\"]}",
        "[s.skill for s in lens.stores()][:1]",
        "os.process().fd_count > 0",
        "os.proces()",
        "1 +",
        "fail(\"why\")",
        "[x for x in range(2000000)]",
    ];
    let tell = |script: &'static str| {
        let answer = ask(address, "POST", "/debug/lens/query", &[], script.as_bytes());
        let mut body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let fields = body.as_object_mut().expect("an object");
        for field in ["cost", "captured_at", "capture"] {
            fields.remove(field);
        }
        (script, answer.status, body)
    };
    scripts.into_iter().map(tell).collect()
}

fn a_query_is_a_process_that_ends_with_its_deadline(isolated: SocketAddr) {
    let client = std::thread::spawn(move || ask(isolated, "POST", "/debug/lens/query", &[], ENDLESS.as_bytes()));
    wait_until("a process for the query", || children().len() == 1);
    wait_until("the kernel limits it", || children().into_iter().all(|process| address_space(process) != "unlimited"));
    let answer = client.join().expect("it is answered");
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("took longer than its limit of 5000 ms"), "{}", answer.body);
    wait_until("no process is left", || children().is_empty());
}

fn a_query_is_a_process_that_ends_with_its_client(isolated: SocketAddr) {
    let mut client = TcpStream::connect(isolated).expect("lens listens");
    let length = ENDLESS.len();
    write!(client, "POST /debug/lens/query HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{ENDLESS}")
        .expect("lens reads");
    wait_until("a process for the query", || children().len() == 1);
    let started = Instant::now();
    drop(client);
    wait_until("no process is left", || children().is_empty());
    assert!(started.elapsed() < Duration::from_secs(3), "long before its deadline: {:?}", started.elapsed());
}

/// How much memory the kernel lets a process map.
fn address_space(process: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"));
    line.and_then(|line| line.split_whitespace().next()).unwrap_or("unlimited").to_owned()
}

/// The processes that this one has started.
fn children() -> BTreeSet<u32> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is there").filter_map(Result::ok);
    let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    tasks.flat_map(|task| of(task).split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
