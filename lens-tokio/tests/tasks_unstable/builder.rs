//! The builder's own hooks stay, and what tokio's macros expand to works with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lens_tokio::builder::{Builder, UnhandledPanic};

use crate::ask::{line, site};

#[test]
fn the_services_hooks_are_called_once_each_besides_lenss() {
    const NAMES: [&str; 8] = ["start", "stop", "park", "unpark", "spawn", "before", "after", "terminate"];
    let calls: Arc<[AtomicU32; 8]> = Arc::default();
    let count = |which: usize| {
        let calls = Arc::clone(&calls);
        move || {
            calls[which].fetch_add(1, Ordering::SeqCst);
        }
    };
    let of_task = |which: usize| {
        let count = count(which);
        move |_: &tokio::runtime::TaskMeta<'_>| count()
    };
    let mut builder = Builder::new_multi_thread();
    builder.on_thread_start(count(0)).on_thread_stop(count(1)).on_thread_park(count(2)).on_thread_unpark(count(3));
    builder.on_task_spawn(of_task(4)).on_before_task_poll(of_task(5)).on_after_task_poll(of_task(6));
    builder.on_task_terminate(of_task(7)).worker_threads(1);
    let runtime = builder.build().unwrap();
    let place = line(1);
    let task = runtime.spawn(async { tokio::task::yield_now().await });
    runtime.block_on(task).unwrap();
    drop(runtime);

    let calls = calls.each_ref().map(|count| count.load(Ordering::SeqCst));
    let named: Vec<_> = NAMES.into_iter().zip(calls).collect();
    assert_eq!(calls[0], calls[1], "{named:?}");
    assert!(calls[2] > 0 && calls[3] > 0, "{named:?}");
    // The worker is a task that ends too.
    assert_eq!(calls[4..], [1, 2, 2, 2], "{named:?}");
    let row = site(&place);
    assert_eq!((row["spawned_total"].as_u64(), row["polls_total"].as_u64()), (Some(1), Some(2)));
}

#[test]
fn a_builder_may_build_twice_and_one_of_tokios_may_be_taken() {
    let mut builder: Builder = tokio::runtime::Builder::new_current_thread().into();
    let place = line(2);
    for _ in 0..2 {
        builder.build().unwrap().block_on(async { tokio::spawn(async {}).await.unwrap() });
    }
    assert_eq!(site(&place)["spawned_total"], 2);
}

#[test]
fn unhandled_panics_are_what_the_builder_says() {
    let runtime = Builder::new_current_thread().unhandled_panic(UnhandledPanic::Ignore).build().unwrap();
    let error = runtime.block_on(async { tokio::spawn(async { panic!("on purpose") }).await.unwrap_err() });
    assert!(error.is_panic());
    assert_eq!(runtime.block_on(async { tokio::spawn(async { 3 }).await.unwrap() }), 3);
}

/// What the facade looks like to tokio's macros.
mod facade {
    pub(super) mod runtime {
        pub(crate) use lens_tokio::builder::*;
    }
    pub(super) use tokio::pin;
}

#[tokio::main(crate = "crate::builder::facade", worker_threads = 2, name = "web")]
async fn main_of_a_service() -> Option<String> {
    tokio::spawn(async {}).await.unwrap();
    tokio::runtime::Handle::current().name().map(str::to_owned)
}

#[tokio::main(crate = "crate::builder::facade", flavor = "local", unhandled_panic = "shutdown_runtime")]
async fn local_main() {
    tokio::task::spawn_local(async {}).await.unwrap();
}

#[tokio::main(crate = "crate::builder::facade", flavor = "current_thread")]
async fn current_thread_main() -> u32 {
    tokio::spawn(async { 7 }).await.unwrap()
}

#[test]
fn tokios_main_macro_makes_instrumented_runtimes() {
    assert_eq!(main_of_a_service().as_deref(), Some("web"));
    local_main();
    assert_eq!(current_thread_main(), 7);
    for offset in
        ["tokio::spawn(async {}).await.unwrap();\n    tokio::runtime", "spawn_local(", "tokio::spawn(async { 7 })"]
    {
        let source = include_str!("builder.rs");
        let line = source[..source.find(offset).unwrap()].lines().count();
        assert_eq!(site(&format!("{}:{line}:", file!()))["spawned_total"], 1, "{offset}");
    }
}

#[tokio::test(crate = "crate::builder::facade")]
async fn tokios_test_macro_makes_an_instrumented_runtime() {
    let place = line(1);
    tokio::spawn(async {}).await.unwrap();
    assert_eq!(site(&place)["spawned_total"], 1);
}

#[tokio::test(crate = "crate::builder::facade", start_paused = true)]
async fn a_paused_clock_does_not_lose_the_hooks() {
    let place = line(1);
    tokio::spawn(async { tokio::time::sleep(std::time::Duration::from_secs(3600)).await }).await.unwrap();
    assert_eq!(site(&place)["finished_total"], 1);
}
