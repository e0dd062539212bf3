//! What `heap.profile()` and `/pprof/heap` say of memory that the test holds itself.

use std::time::Duration;

use serde_json::Value;

use crate::service::{HOLDERS, Held, Service, until};

/// The row of a line of `service.rs`.
fn row(rows: &Value, line: u32) -> &Value {
    let place = format!("tests/heap/service.rs:{line}");
    rows.as_array().unwrap().iter().find(|row| row["place"] == place.as_str()).unwrap_or(&Value::Null)
}

#[test]
fn the_lines_that_hold_memory_are_named_in_order_with_their_bytes() {
    let service = Service::start();
    service.sample(60);
    let held: Vec<Held> = HOLDERS.iter().map(|holder| (holder.hold)()).collect();
    let rows = service.query("heap.profile(limit=3)");
    for (at, holder) in HOLDERS.iter().enumerate() {
        let row = &rows[at];
        assert_eq!(row["place"], format!("tests/heap/service.rs:{}", holder.line), "{rows:#}");
        assert!(row["function"].as_str().unwrap().starts_with(holder.function), "{row}");
        // Five standard deviations.
        let error = row["error_ratio"].as_f64().unwrap() * 5.0;
        assert!(error < 0.5, "{row}");
        let live = row["live_bytes"].as_f64().unwrap();
        let off = live / f64::from(holder.bytes) - 1.0;
        assert!(off.abs() < error, "{off} of {}: {row}", holder.bytes);
        assert!(row["growth_bytes"].as_i64().unwrap() > 0);
        assert!(row["allocated_bytes"].as_f64().unwrap() >= live, "{row}");
        let caller = row["stack"][1].as_str().unwrap();
        assert!(
            row["stack"].as_array().unwrap().iter().any(|frame| frame.as_str().unwrap().contains("heap::")),
            "{caller}"
        );
    }
    service.stop();
    drop(held);
    let rows = service.query("heap.profile(limit=1000)");
    for holder in &HOLDERS {
        let row = row(&rows, holder.line);
        assert!(row.is_null() || row["live_bytes"] == 0, "what is freed is not alive: {row}");
    }
}

#[test]
fn growth_is_counted_from_the_start_of_sampling() {
    let service = Service::start();
    let [pages, sessions, _] = &HOLDERS;
    service.sample(60);
    let before = (pages.hold)();
    service.stop();
    // What was there already has not grown; what goes, shrinks.
    service.sample(60);
    let after = (sessions.hold)();
    let rows = service.query("heap.profile(limit=1000, by=\"growth\")");
    assert_eq!(rows[0]["place"], format!("tests/heap/service.rs:{}", sessions.line), "{rows:#}");
    let kept = row(&rows, pages.line);
    assert_eq!(kept["growth_bytes"], 0, "{kept}");
    assert!(kept["live_bytes"].as_u64().unwrap() > u64::from(pages.bytes / 2), "{kept}");
    drop(before);
    let rows = service.query("heap.profile(limit=1000, by=\"growth\")");
    let gone = row(&rows, pages.line);
    assert_eq!(gone["live_bytes"], 0, "{gone}");
    assert_eq!(gone["growth_bytes"].as_i64().unwrap(), -kept["live_bytes"].as_i64().unwrap(), "{gone}");
    service.stop();
    drop(after);
}

#[test]
fn nothing_that_is_allocated_while_it_is_off_is_in_it() {
    let service = Service::start();
    service.sample(1);
    until("it has ended by itself", || !service.is_sampling());
    let held: Vec<Held> = HOLDERS.iter().map(|holder| (holder.hold)()).collect();
    let rows = service.query("heap.profile(limit=1000)");
    // What other tests allocated and freed is counted, too.
    let is_unseen = |row: &Value| row.is_null() || row["live_bytes"] == 0;
    assert!(HOLDERS.iter().all(|holder| is_unseen(row(&rows, holder.line))), "{rows:#}");
    drop(held);
}

#[test]
fn one_at_a_time_samples_and_a_second_one_is_told_until_when() {
    let service = Service::start();
    service.sample(60);
    let second = service.ask("POST", "/pprof/heap?seconds=60", "");
    assert_eq!(second.status, 409, "{}", second.text());
    assert_eq!(second.json()["until"], service.query("heap.sampling().until"));
    service.stop();
    assert!(!service.is_sampling());
    assert_eq!(service.ask("DELETE", "/pprof/heap", "").status, 404);
}

#[test]
fn sampling_ends_with_lens_and_with_a_client_that_leaves() {
    let service = Service::start();
    service.sample(60);
    assert!(service.is_sampling());
    drop(service);
    let service = Service::start();
    assert_eq!(service.get("/pprof/heap").status, 501, "this lens has not sampled yet");

    service.lens.sample_heap(Duration::from_millis(1)).unwrap();
    until("that is over", || !service.is_sampling());
    let left = std::net::TcpStream::connect(service.lens.address().unwrap()).unwrap();
    std::io::Write::write_all(&mut &left, b"GET /debug/lens/pprof/heap?seconds=15 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    until("it samples", || service.is_sampling());
    drop(left);
    until("it samples no more", || !service.is_sampling());
}

#[test]
fn a_difference_has_what_came_while_it_was_waited_for() {
    let service = Service::start();
    let [pages, sessions, _] = &HOLDERS;
    service.sample(60);
    let before = (pages.hold)();
    // Their functions are found before, so that both profiles of the difference are read at once.
    service.query("heap.profile()");
    let drawn = std::thread::scope(|scope| {
        let drawn = scope.spawn(|| service.get("/pprof/heap?seconds=3&format=flamegraph"));
        std::thread::sleep(Duration::from_millis(1500));
        let held = (sessions.hold)();
        let drawn = drawn.join().unwrap();
        drop(held);
        drawn
    });
    assert_eq!(drawn.status, 200, "{}", drawn.text());
    assert!(drawn.head.contains("content-type: image/svg+xml"), "{}", drawn.head);
    let drawn = drawn.text();
    assert!(drawn.contains(&format!("service.rs:{})", sessions.line)), "{drawn}");
    assert!(!drawn.contains(&format!("service.rs:{})", pages.line)), "what was there before has not grown");
    service.stop();
    drop(before);
}

#[test]
fn wrong_requests_say_what_is_right() {
    let service = Service::start();
    let wrong = |method: &str, path: &str| {
        let reply = service.ask(method, path, "");
        (reply.status, reply.json()["detail"].as_str().unwrap().to_owned())
    };
    let range = |most: u32, got: &str| format!("`seconds` is a whole number from 1 to {most}, not {got:?}");
    assert_eq!(wrong("GET", "/pprof/heap?seconds=16"), (400, range(15, "16")));
    assert_eq!(wrong("POST", "/pprof/heap?seconds=0"), (400, range(3600, "0")));
    assert_eq!(wrong("POST", "/pprof/heap?seconds=3601").0, 400);
    assert_eq!(wrong("GET", "/pprof/heap?format=json").0, 400);
    assert_eq!(wrong("GET", "/pprof/heap?secnds=1").0, 400);
    assert_eq!(wrong("PUT", "/pprof/heap").0, 405);
}
