//! The ways to block a worker, each in a function of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

use lens_tokio::builder::Runtime;
use serde_json::{Value, json};

use crate::ask::{Watched, until};

/// How long everything here blocks.
const LONG: Duration = Duration::from_millis(200);

/// How long after the start of the poll lens told what; `None` if it did not while that blocked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// That there is a stall, and where its task was spawned.
    pub(crate) with_place: Option<Duration>,
    /// The stack, with the function that blocks and one of the lines that it blocks in.
    pub(crate) with_stack: Option<Duration>,
}

/// The lines that block, said by whoever is about to run them.
type Lines = OnceLock<RangeInclusive<u32>>;

/// A way to block.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// The function that blocks.
    function: &'static str,
    block: fn(&Lines),
}

pub(crate) const WAYS: [Way; 5] = [
    Way { name: "std::thread::sleep", function: "sleeps", block: sleeps },
    Way { name: "std::sync::Mutex", function: "locks", block: locks },
    Way { name: "a loop", function: "computes", block: computes },
    Way { name: "a pipe's read", function: "reads_a_pipe", block: reads_a_pipe },
    Way { name: "a socket's read", function: "reads_a_socket", block: reads_a_socket },
];

impl Way {
    /// Blocks a worker, and asks what lens sees.
    pub(crate) fn seen(&self, runtime: &Runtime, watched: &Watched) -> Seen {
        let began = Arc::new(OnceLock::new());
        let lines = Arc::new(Lines::new());
        let (starts, blocks, block) = (Arc::clone(&began), Arc::clone(&lines), self.block);
        let task = runtime.spawn(async move {
            starts.set(Instant::now()).expect("the only poll");
            block(&blocks);
        });
        let began = until(|| began.get().copied());
        let is_at = |place: &str| {
            let line = place.strip_prefix(file!()).and_then(|line| line.strip_prefix(':')?.parse().ok());
            line.is_some_and(|line| lines.get().is_some_and(|lines| lines.contains(&line)))
        };
        let is_in = |frame: &Value| {
            frame["function"].as_str().is_some_and(|function| function.ends_with(self.function))
                && frame["place"].as_str().is_some_and(is_at)
        };
        let id: u64 = task.id().to_string().parse().expect("a number");
        let is_it = |row: &Value| {
            let is_there = row["spawn_place"].as_str().is_some_and(|place| place.starts_with(file!()));
            is_there && row["task_id"] == id
        };
        let has_stack = |row: &Value| row["frames"].as_array().is_some_and(|frames| frames.iter().any(is_in));
        let mut seen = Seen::default();
        while seen.with_stack.is_none() && !task.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
            let rows = watched.ask("now", &json!({}));
            let now = began.elapsed();
            let row = rows.into_iter().find(is_it);
            seen.with_place = seen.with_place.or(row.as_ref().map(|_| now));
            seen.with_stack = row.filter(has_stack).map(|_| now);
        }
        runtime.block_on(task).expect("it only blocks");
        until(|| watched.ask("now", &json!({})).is_empty().then_some(()));
        seen
    }
}

/// Says that the next `count` lines block.
fn next(lines: &Lines, count: u32, line: u32) {
    lines.set(line + 1..=line + count).expect("it blocks once");
}

#[inline(never)]
fn sleeps(lines: &Lines) {
    next(lines, 1, line!());
    std::thread::sleep(LONG);
    // Otherwise the last call would be a jump, and this function on no stack.
    std::hint::black_box(());
}

#[inline(never)]
fn locks(lines: &Lines) {
    let lock = Arc::new(Mutex::new(()));
    let (same, held) = (Arc::clone(&lock), Arc::new(Barrier::new(2)));
    let holds = Arc::clone(&held);
    let holder = std::thread::spawn(move || {
        let _guard = same.lock().expect("nothing panics");
        holds.wait();
        std::thread::sleep(LONG);
    });
    held.wait();
    next(lines, 1, line!());
    drop(lock.lock().expect("nothing panics"));
    holder.join().expect("nothing panics");
}

#[inline(never)]
fn computes(lines: &Lines) {
    let began = Instant::now();
    next(lines, 3, line!());
    while began.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

/// A pipe, read as a file.
#[inline(never)]
fn reads_a_pipe(lines: &Lines) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let writes = std::thread::spawn(move || {
        std::thread::sleep(LONG);
        writer.write_all(&[1]).expect("the pipe");
    });
    next(lines, 1, line!());
    File::from(OwnedFd::from(reader)).read_exact(&mut [0]).expect("the pipe");
    writes.join().expect("nothing panics");
}

#[inline(never)]
fn reads_a_socket(lines: &Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (mut server, _) = listener.accept().expect("the connection");
    let writes = std::thread::spawn(move || {
        std::thread::sleep(LONG);
        server.write_all(&[1]).expect("the connection");
    });
    next(lines, 1, line!());
    client.read_exact(&mut [0]).expect("the connection");
    writes.join().expect("nothing panics");
}
