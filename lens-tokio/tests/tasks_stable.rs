//! What is left of the skill and the builder on stable tokio: an answer that says what is missing, and a builder that
//! builds.
#![cfg(not(tokio_unstable))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lens_core::{Skill, SourceStatus, Unavailable};
use lens_tokio::TasksSkill;
use lens_tokio::builder::Builder;

#[test]
fn tasks_say_how_to_get_them() {
    let _runtime = Builder::new_current_thread().build().unwrap();
    let skill = TasksSkill::new();
    assert_eq!(skill.collect().unwrap_err(), Unavailable::NeedsTokioUnstable);
    let sources = skill.sources();
    let hooks = sources.iter().find(|source| source.name == "task hooks").unwrap();
    assert_eq!(hooks.status, SourceStatus::Unavailable(Unavailable::NeedsTokioUnstable));
    let threads = sources.iter().find(|source| source.name == "thread hooks").unwrap();
    assert_eq!(threads.status, SourceStatus::Live);
}

#[test]
fn the_services_thread_hooks_are_called_once_each() {
    let calls: Arc<[AtomicU32; 4]> = Arc::default();
    let count = |which: usize| {
        let calls = Arc::clone(&calls);
        move || {
            calls[which].fetch_add(1, Ordering::SeqCst);
        }
    };
    let mut builder = Builder::new_multi_thread();
    builder.on_thread_start(count(0)).on_thread_stop(count(1)).on_thread_park(count(2)).on_thread_unpark(count(3));
    let runtime = builder.worker_threads(2).build().unwrap();
    runtime.block_on(async { tokio::spawn(tokio::task::yield_now()).await.unwrap() });
    drop(runtime);
    let calls = calls.each_ref().map(|count| count.load(Ordering::SeqCst));
    assert_eq!(calls[0], calls[1], "{calls:?}");
    assert!(calls[0] >= 2, "{calls:?}");
    assert!(calls[2] > 0 && calls[3] > 0, "{calls:?}");
}

/// What the facade looks like to tokio's macros.
mod facade {
    pub(super) mod runtime {
        pub(crate) use lens_tokio::builder::*;
    }
    pub(super) use tokio::pin;
}

#[tokio::main(crate = "crate::facade", worker_threads = 2, name = "web")]
async fn main_of_a_service() -> Option<String> {
    tokio::runtime::Handle::current().name().map(str::to_owned)
}

#[tokio::main(crate = "crate::facade", flavor = "local")]
async fn local_main() -> u32 {
    tokio::task::spawn_local(async { 7 }).await.expect("a task that cannot panic")
}

#[test]
fn tokios_main_macro_works() {
    assert_eq!(main_of_a_service().as_deref(), Some("web"));
    assert_eq!(local_main(), 7);
}

#[tokio::test(crate = "crate::facade", start_paused = true)]
async fn tokios_test_macro_works() {
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
}
