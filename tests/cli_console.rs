//! The command `lens console`, against a service that has console-subscriber and no lens. A process of its own: it owns the
//! global tracing subscriber.
#![cfg(tokio_unstable)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use console_subscriber::ConsoleLayer;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::Mutex;
use tracing_subscriber::layer::SubscriberExt;

fn lens(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lens"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that needs no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_command_tells_what_a_console_server_knows() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (layer, server) = ConsoleLayer::builder().server_addr((Ipv4Addr::LOCALHOST, port)).build();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    std::thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(server.serve()).unwrap();
    });
    let service = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let line = line!() + 1;
    let lock = service.block_on(async { Arc::new(Mutex::new(())) });
    let guard = Arc::clone(&lock).try_lock_owned().unwrap();
    let waiting = async move { drop(lock.lock().await) };
    let waiter = tokio::task::Builder::new().name("waits-for-a-lock").spawn_on(waiting, service.handle()).unwrap();

    let address = format!("127.0.0.1:{port}");
    let script = "[(o.name, o.source, o.resource_place, o.polls_total) for o in console.operations() if o.source == \"Mutex::lock\"]";
    let place = format!("tests/cli_console.rs:{line}:");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = lens(&["console", "-e", script, &address], "");
        // The server may not listen yet, and the task not wait.
        let rows: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let row = rows.as_ref().and_then(|rows| rows.as_array()?.first());
        if let Some(row) = row {
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert_eq!(
                (&row[0], &row[1], &row[3]),
                (&json!("waits-for-a-lock"), &json!("Mutex::lock"), &json!(1)),
                "{row}"
            );
            assert!(row[2].as_str().unwrap().starts_with(&place), "{row}");
            break;
        }
        assert!(Instant::now() < deadline, "{output:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // From the standard input, as a table.
    let table = lens(&["console", "--format", "table", &address], "table(console.tasks(), \"name\", \"polls_total\")");
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    let words: Vec<String> = text(&table.stdout).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[..2], ["name", "polls_total"]);
    let at = words.iter().position(|word| word == "waits-for-a-lock").unwrap_or_else(|| panic!("{words:?}"));
    assert_eq!(words[at + 1], "1", "{words:?}");

    let wrong = lens(&["console", "-e", "console.taks()", &address], "");
    assert_eq!((wrong.status.code(), text(&wrong.stdout).as_str()), (Some(1), ""));
    assert!(text(&wrong.stderr).contains("did you mean `tasks`?"), "{wrong:?}");
    drop(guard);
    service.block_on(waiter).unwrap();
}
