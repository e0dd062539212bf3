//! Any text as a query, run and checked: `cargo +nightly fuzz run query` in `lens-core`. A crash, a hang or an answer that
//! says that lens is at fault is a finding.

#![no_main]

#[path = "../../tests/hostile/service.rs"]
mod service;

use std::sync::OnceLock;
use std::time::Duration;

use lens_core::sandbox::{Limits, QueryErrorKind, Sandbox};
use libfuzzer_sys::fuzz_target;

fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        let mut limits = Limits::default();
        limits.wall = Duration::from_millis(200);
        Sandbox::new(limits)
    })
}

fuzz_target!(|script: &str| {
    let capture = service::capture();
    let checked = sandbox().check(script, capture.registry()).expect("nothing else runs");
    let result = sandbox().run(script, capture);
    if let Err(error) = &result {
        assert_ne!(error.kind, QueryErrorKind::Internal, "{error}");
    }
    let is_refused = |error: &lens_core::sandbox::QueryError| error.kind == QueryErrorKind::Syntax;
    assert!(result.is_err() || !checked.iter().any(is_refused), "{checked:?}");
});
