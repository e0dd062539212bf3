//! What the skill says in a process without an instrumented runtime: a process of its own, because one builder in it
//! would enable the skill.
#![cfg(tokio_unstable)]

use lens_core::{Metrics, Skill, SourceStatus};
use lens_tokio::TasksSkill;

#[test]
fn without_an_instrumented_runtime_tasks_say_how_to_get_one() {
    let skill = TasksSkill::new();
    skill.metrics(&mut Metrics::default());
    let reason = skill.collect().unwrap_err();
    assert_eq!(reason.code(), "not_enabled");
    assert!(reason.to_string().contains("#[tokio::main(crate = \"lens\")]"), "{reason}");
    for source in skill.sources() {
        assert_eq!(source.status, SourceStatus::Unavailable(reason.clone()), "{source:?}");
    }

    let runtime = lens_tokio::instrument(&mut tokio::runtime::Builder::new_current_thread()).build().unwrap();
    runtime.block_on(async { tokio::spawn(async {}).await.unwrap() });
    assert!(skill.collect().is_ok());
}
