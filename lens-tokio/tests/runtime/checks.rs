//! What the skill's checks find, and where there is nothing to be found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lens_core::Checks;
use lens_core::checks::Examination;
use lens_core::sandbox::{Limits, Sandbox};
use tokio::runtime::Builder;

use crate::ask::{Lens, number};

/// The checks that find something now.
fn found(lens: &Lens) -> Vec<String> {
    let checks = Checks::new(lens.registry(), &[], &[]).unwrap();
    let examination = Examination::new(&Sandbox::new(Limits::default()));
    let report = examination.run(&checks, &Arc::new(lens.capture()), None);
    assert!(report.defects.is_empty(), "{:#?}", report.defects);
    report.findings().map(|finding| finding.check.clone()).collect()
}

#[test]
fn a_runtime_that_nobody_drives_is_a_symptom_only_while_a_task_waits_for_it() {
    // So long that the canary has waited in most of the seconds that are looked at.
    const LONG_MS: f64 = 4500.0;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let lens = Lens::on("set up", runtime.handle());
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    lens.wait_until("workers", |rows| {
        rows[0]["state"] == "no_progress" && number(&rows[0], "no_progress_ms") > LONG_MS
    });
    assert_eq!(lens.one("stats")["is_schedule_delay_open"], true, "the canary waits");
    assert_eq!(found(&lens), Vec::<String>::new());

    let waits = runtime.spawn(async {});
    let start = Instant::now();
    while found(&lens) != ["no_progress", "schedule_delay"] {
        assert!(start.elapsed() < Duration::from_secs(30), "only {:?}", found(&lens));
        std::thread::sleep(Duration::from_millis(100));
    }
    runtime.block_on(waits).unwrap();
}
