//! lens answers, and rightly, while the service cannot.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Service;

#[test]
fn with_every_worker_blocked_lens_answers_and_says_so() {
    let service = Service::start();
    let (release, held) = channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let (entered, blocked) = channel();
    for _ in 0..2 {
        let (held, entered) = (std::sync::Arc::clone(&held), entered.clone());
        service.runtime().spawn(async move {
            entered.send(()).unwrap();
            // A worker that waits here is what this test is about; it ends when `release` is dropped.
            let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(60));
        });
    }
    for _ in 0..2 {
        blocked.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    let began = Instant::now();
    let states = service
        .wait_until("[w.state for w in runtime.workers()]", |states| *states == json!(["no_progress", "no_progress"]));
    assert_eq!(states.as_array().unwrap().len(), 2);
    let index = until_health(&service, "critical");
    let text = index["health"].to_string();
    assert!(
        text.contains("2 of 2 workers have made no progress") || text.contains("a task has kept a worker"),
        "{text}"
    );

    // Lens takes what lasts for a second for wrong even when it is over, and sees a stall a little after its beginning.
    std::thread::sleep(Duration::from_millis(1500).saturating_sub(began.elapsed()));
    drop(release);
    service
        .wait_until("[w.state for w in runtime.workers() if w.state == \"no_progress\"]", |stuck| *stuck == json!([]));
    until_health(&service, "warning");
}

/// Waits until the first page has this word for the service's health, and gives the page.
fn until_health(service: &Service, status: &str) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let index = service.get("").json();
        if index["health"]["status"] == status {
            return index;
        }
        assert!(Instant::now() < deadline, "not {status}: {index:#}\n{:#}", service.value("stalls.recent()"));
        std::thread::sleep(Duration::from_millis(20));
    }
}
