//! The options that a service's binary sets by the macro. Its own process, for jemalloc reads them when it starts.

use std::process::Command;
use std::sync::Arc;

use lens_core::{Arguments, Capture, Recorder, RegistryBuilder};
use lens_jemalloc::HeapSkill;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

lens_jemalloc::heap_profiles!();

#[test]
fn jemalloc_takes_the_options_and_does_not_complain_about_them() {
    let mut builder = RegistryBuilder::new();
    builder.skill(HeapSkill::new()).expect("a name that is free");
    let capture = Capture::live(&Arc::new(builder.build()), &Arc::new(Recorder::new()));
    let rows = capture.call("heap", "config", Arguments::default()).expect("jemalloc is the allocator").to_json();
    let given = rows.as_array().into_iter().flatten().find(|row| row["option"] == "malloc_conf").expect("options");
    assert_eq!(given["value"], "prof:true,prof_active:false,lg_prof_sample:19");
    // It samples on request only.
    let error = capture.call("heap", "profile", Arguments::default()).expect_err("nothing was sampled").to_string();
    assert!(error.contains("nothing was sampled yet"), "{error}");

    let program = std::env::current_exe().expect("this test");
    let again = Command::new(program).arg("--list").output().expect("this test, once more");
    assert_eq!(String::from_utf8_lossy(&again.stderr), "");
}
