//! Scripts that nobody wrote, by the language's grammar: none may hurt the process. A test of its own for the reason of
//! `hostile`. `LENS_FUZZ=COUNT` runs that many, `LENS_FUZZ_SEED=SEED` begins elsewhere; a script is its seed.

#[path = "hostile/grammar.rs"]
mod grammar;
#[path = "hostile/service.rs"]
mod service;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lens_core::sandbox::{Limits, QueryErrorKind, Sandbox};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn no_random_script_hurts_the_process() {
    let (seed, count) = (setting("LENS_FUZZ_SEED", 1), setting("LENS_FUZZ", 2000));
    let mut limits = Limits::default();
    limits.wall = Duration::from_millis(200);
    let next = AtomicU64::new(seed);
    let longest = limits.wall * 2 + Duration::from_secs(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let sandbox = Sandbox::new(limits.clone());
                let capture = service::capture();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= setting("LENS_FUZZ_SEED", 1) + count {
                        return;
                    }
                    let script = grammar::script(seed, grammar::Kind::Hostile);
                    let started = Instant::now();
                    let result = sandbox.run(&script, capture.clone());
                    assert!(started.elapsed() < longest, "seed {seed} took {:?}:\n{script}", started.elapsed());
                    if let Err(error) = result {
                        assert_ne!(error.kind, QueryErrorKind::Internal, "seed {seed}: {error}\n{script}");
                    }
                }
            });
        }
    });
}
