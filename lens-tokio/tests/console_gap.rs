//! What the skill `console` tells of tasks that were there while its layer was switched off. A process of its own: it
//! switches the process's layer.
#![cfg(all(tokio_unstable, feature = "console"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "console/ask.rs"]
mod ask;

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use ask::{FUNCTIONS, Lens, wait_until};
use lens_tokio::{Console, console_layer};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tracing_subscriber::layer::SubscriberExt;

#[test]
fn a_sound_task_is_not_said_to_have_lost_the_waker_that_it_got_while_the_layer_was_off() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(console_layer())).unwrap();
    let console = Console::global();
    console.enable().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let lens = Lens::of(console.clone());
    let spawn = |name: &str, future| tokio::task::Builder::new().name(name).spawn_on(future, runtime.handle()).unwrap();

    // Its second poll, which keeps another waker, lasts until the layer is off.
    let (polls, is_off) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let (own, off, kept) = (Arc::clone(&polls), Arc::clone(&is_off), Arc::clone(&waker));
    let future = poll_fn(move |context| {
        if own.fetch_add(1, Ordering::SeqCst) == 1 {
            while !off.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        *kept.lock().unwrap() = Some(context.waker().clone());
        Poll::<()>::Pending
    });
    let sound = spawn("keeps-its-waker", Box::pin(future) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);
    wait_until(|| waker.lock().unwrap().is_some().then_some(()));
    waker.lock().unwrap().take().unwrap().wake();
    wait_until(|| (polls.load(Ordering::SeqCst) == 2).then_some(()));
    console.disable();
    is_off.store(true, Ordering::SeqCst);
    wait_until(|| waker.lock().unwrap().is_some().then_some(()));
    console.enable().unwrap();

    let task = |name: &str| {
        let is_idle = |row: &Value| row["state"] == "idle" && row["polls_total"] != 0;
        wait_until(|| lens.named("tasks", "name", name).into_iter().find(is_idle))
    };
    let row = task("keeps-its-waker");
    // What was counted is as if no waker were left.
    assert_eq!((&row["waker_clones_total"], &row["waker_drops_total"]), (&json!(1), &json!(1)), "{row}");
    assert_eq!(row["lints"], json!([]), "{row}");
    assert_eq!(row["wakers_count"]["unavailable"], "not_enabled", "{row}");
    let after = spawn("loses-its-waker", Box::pin(pending::<()>()));
    let row = task("loses-its-waker");
    assert_eq!((&row["lints"], &row["wakers_count"]), (&json!(["lost_waker"]), &json!(0)), "{row}");
    let lints = lens.rows("lints");
    let named: Vec<&Value> = lints.iter().map(|row| &row["name"]).collect();
    assert_eq!(named, ["loses-its-waker"], "{lints:?}");
    for function in FUNCTIONS {
        lens.call(function, json!({})).unwrap();
    }
    sound.abort();
    after.abort();
}
