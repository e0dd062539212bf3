//! What lens says about who holds the heap. Separate because it has to sample first.

use serde_json::Value;

use crate::faults::{end, listed, start, until_injected};
use crate::harness::{Service, until};

/// The rows of `heap.profile`, as soon as their functions are found.
fn profile(service: &Service, arguments: &str) -> Value {
    let script = format!("heap.profile({arguments})");
    until("the functions of the profile are found", || {
        let answer = service.lens("POST", "/debug/lens/query", &script);
        let said = answer.body.to_string();
        let is_early = ["ask again", "did not end within", "has not answered"].iter().any(|early| said.contains(early));
        assert!(is_early || answer.status == 200, "{answer:?}");
        (!is_early).then(|| answer.body["value"].clone())
    })
}

#[test]
fn the_line_that_leaks_holds_and_grows_most() {
    let service = Service::start(&["--faults", "--load", "20"]);
    assert_eq!(service.lens("POST", "/debug/lens/pprof/heap?seconds=300", "").status, 202);
    start(&service, "heap_leak?rate=5000&count=20000");
    until_injected(&service, "heap_leak", 20_000);
    let place = &listed(&service, "heap_leak")["truth"]["place"];
    for order in ["live", "growth"] {
        let rows = profile(&service, &format!("limit=1, by=\"{order}\""));
        assert_eq!(&rows[0]["place"], place, "{rows:#}");
        let (leaked, error) = (20_000.0 * 4096.0, rows[0]["error_ratio"].as_f64().unwrap());
        let live = rows[0]["live_bytes"].as_f64().unwrap();
        assert!((live / leaked - 1.0).abs() < 5.0 * error, "{rows:#}");
    }
    assert_eq!(service.logged("<jemalloc>"), 0, "jemalloc has nothing to say about its options");
    end(&service, "heap_leak");
    let rows = profile(&service, "limit=1000");
    let row = rows.as_array().unwrap().iter().find(|row| &row["place"] == place);
    assert!(row.is_none_or(|row| row["live_bytes"] == 0), "{row:?}");
}
