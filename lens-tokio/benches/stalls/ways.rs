//! The ways to block a worker, each in a function of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

use lens_tokio::builder::Runtime;
use serde_json::json;

use crate::ask::{Watched, until};

/// How long everything here blocks.
const LONG: Duration = Duration::from_millis(200);

/// A way to block.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// The function that blocks.
    function: &'static str,
    block: fn(),
}

pub(crate) const WAYS: [Way; 5] = [
    Way { name: "std::thread::sleep", function: "sleeps", block: sleeps },
    Way { name: "std::sync::Mutex", function: "locks", block: locks },
    Way { name: "a loop", function: "computes", block: computes },
    Way { name: "a file's read", function: "reads_a_file", block: reads_a_file },
    Way { name: "a socket's read", function: "reads_a_socket", block: reads_a_socket },
];

impl Way {
    /// Blocks a worker; how long after the start of the poll lens says where it was spawned and which function blocks.
    pub(crate) fn seen_after(&self, runtime: &Runtime, watched: &Watched) -> Duration {
        let began = Arc::new(OnceLock::new());
        let (starts, block) = (Arc::clone(&began), self.block);
        let task = runtime.spawn(async move {
            starts.set(Instant::now()).expect("the only poll");
            block();
        });
        let began = until(|| began.get().copied());
        let is_in =
            |frame: &serde_json::Value| frame["function"].as_str().is_some_and(|at| at.ends_with(self.function));
        until(|| {
            watched.ask("now", &json!({})).into_iter().find(|row| {
                let is_ours = row["spawn_place"].as_str().is_some_and(|place| place.starts_with(file!()));
                is_ours && row["frames"].as_array().is_some_and(|frames| frames.iter().any(is_in))
            })
        });
        let seen = began.elapsed();
        runtime.block_on(task).expect("it only blocks");
        seen
    }
}

#[inline(never)]
fn sleeps() {
    std::thread::sleep(LONG);
    std::hint::black_box(());
}

#[inline(never)]
fn locks() {
    let lock = Arc::new(Mutex::new(()));
    let (same, is_held) = (Arc::clone(&lock), Arc::new(Barrier::new(2)));
    let holds = Arc::clone(&is_held);
    let holder = std::thread::spawn(move || {
        let _held = same.lock().expect("nothing panics");
        holds.wait();
        std::thread::sleep(LONG);
    });
    is_held.wait();
    drop(lock.lock().expect("nothing panics"));
    holder.join().expect("nothing panics");
}

#[inline(never)]
fn computes() {
    let began = Instant::now();
    while began.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

/// A pipe, read as a file.
#[inline(never)]
fn reads_a_file() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let writes = std::thread::spawn(move || {
        std::thread::sleep(LONG);
        writer.write_all(&[1]).expect("the pipe");
    });
    File::from(OwnedFd::from(reader)).read_exact(&mut [0]).expect("the pipe");
    writes.join().expect("nothing panics");
}

#[inline(never)]
fn reads_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (mut server, _) = listener.accept().expect("the connection");
    let writes = std::thread::spawn(move || {
        std::thread::sleep(LONG);
        server.write_all(&[1]).expect("the connection");
    });
    client.read_exact(&mut [0]).expect("the connection");
    writes.join().expect("nothing panics");
}
