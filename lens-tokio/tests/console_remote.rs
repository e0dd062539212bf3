//! A console server that is read by its address. A process of its own: it owns the global tracing subscriber, which is
//! console-subscriber's own layer, as a service without lens has it.
#![cfg(all(tokio_unstable, feature = "console"))]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use console_subscriber::ConsoleLayer;
use lens_tokio::console::{Activity, State, read_server};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;
use tracing_subscriber::layer::SubscriberExt;

/// The service, and the address of its console server.
static SERVICE: LazyLock<(Runtime, String)> = LazyLock::new(|| {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (layer, server) =
        ConsoleLayer::builder().server_addr((Ipv4Addr::LOCALHOST, port)).retention(Duration::from_secs(60)).build();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    std::thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(server.serve()).unwrap();
    });
    (Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap(), format!("127.0.0.1:{port}"))
});

/// What `find` finds in the state, as soon as it finds something.
#[track_caller]
fn wait_for<T>(find: impl Fn(&State) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // The server may not listen yet.
        let state = read_server(&SERVICE.1);
        if let Some(found) = state.as_ref().ok().and_then(&find) {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen in time: {state:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_task_that_ended_has_the_polls_that_it_had() {
    let mut polls = 0;
    let future = std::future::poll_fn(move |context| {
        polls += 1;
        context.waker().wake_by_ref();
        if polls == 5 { Poll::Ready(()) } else { Poll::Pending }
    });
    let spawned = tokio::task::Builder::new().name("ends").spawn_on(future, SERVICE.0.handle()).unwrap();
    SERVICE.0.block_on(spawned).unwrap();
    let task = wait_for(|state| {
        let task = state.tasks.iter().find(|task| task.name.as_deref() == Some("ends"))?;
        (task.activity == Activity::Ended).then(|| task.clone())
    });
    assert_eq!((task.polls, task.wakes, task.self_wakes), (5, 5, 5));
}

#[test]
fn waiting_tasks_are_told_with_the_address_and_without_what_is_wrong() {
    let lock = std::sync::Arc::new(SERVICE.0.block_on(async { Mutex::new(()) }));
    let guard = std::sync::Arc::clone(&lock).try_lock_owned().unwrap();
    let waiting = std::sync::Arc::clone(&lock);
    let waiter = tokio::task::Builder::new()
        .name("waits")
        .spawn_on(async move { drop(waiting.lock().await) }, SERVICE.0.handle())
        .unwrap();
    let (state, operation) = wait_for(|state| {
        let task = state.tasks.iter().find(|task| task.name.as_deref() == Some("waits"))?;
        let operation = state.operations.iter().find(|operation| operation.task == Some(task.span))?;
        Some((state.clone(), operation.clone()))
    });
    assert_eq!((operation.source.as_str(), operation.polls), ("Mutex::lock", 1));
    assert_eq!(state.address.as_deref(), Some(SERVICE.1.as_str()));
    assert_eq!(state.missing.tasks, None, "another process does not tell it");
    let resource = state.resources.iter().find(|resource| Some(resource.span) == operation.resource).unwrap();
    assert_eq!(resource.concrete_type, "Mutex");
    assert!(resource.attributes.is_empty(), "{resource:?}");
    drop(guard);
    SERVICE.0.block_on(waiter).unwrap();
}

#[test]
fn what_is_no_console_server_is_refused_with_its_address() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string();
    let reason = read_server(&closed).unwrap_err();
    assert_eq!(reason.code(), "failed");
    assert!(reason.to_string().contains(&closed), "{reason}");

    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut connection, _) = other.accept().unwrap();
        // Reads, and never answers.
        let _ = connection.read_to_end(&mut Vec::new());
    });
    let begun = Instant::now();
    let reason = read_server(&address).unwrap_err();
    assert!(reason.to_string().contains(&address), "{reason}");
    assert!(begun.elapsed() < 2 * lens_tokio::console::REMOTE_DEADLINE, "{:?}", begun.elapsed());
}
