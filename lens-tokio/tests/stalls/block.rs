//! The ways to block a thread, each in a function of its own, and where in this file each of them blocks.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long everything here blocks; what waits for others is let go by the test after that. Long enough for the test to
/// look meanwhile, on a machine that does something else now and then.
pub(crate) const LONG: Duration = Duration::from_millis(600);

#[inline(never)]
pub(crate) fn sleeps() {
    std::thread::sleep(LONG); // here: sleeps
    std::hint::black_box(());
}

#[inline(never)]
pub(crate) fn locks(lock: &Mutex<()>) {
    drop(lock.lock().unwrap()); // here: locks
}

#[inline(never)]
pub(crate) fn computes() {
    let started = Instant::now();
    while started.elapsed() < LONG {
        std::hint::spin_loop();
    }
}

/// Computes in the standard library, and in a dependency of it.
#[inline(never)]
pub(crate) fn looks_up() {
    let keys: HashSet<u32> = (0..100).collect();
    let started = Instant::now();
    while started.elapsed() < LONG {
        for key in 0..100_000 {
            std::hint::black_box(keys.contains(&key));
        }
    }
}

#[inline(never)]
pub(crate) fn reads_a_pipe(pipe: &mut std::io::PipeReader) {
    pipe.read_exact(&mut [0]).unwrap(); // here: reads_a_pipe
}

#[inline(never)]
pub(crate) fn reads_a_file(file: &mut File) {
    file.read_exact(&mut [0]).unwrap(); // here: reads_a_file
}

#[inline(never)]
pub(crate) fn reads_a_socket(socket: &mut std::net::TcpStream) {
    socket.read_exact(&mut [0]).unwrap(); // here: reads_a_socket
}

/// Where `function` blocks.
pub(crate) fn place(function: &str) -> String {
    let mark = format!("// here: {function}");
    let line = include_str!("block.rs").lines().position(|line| line.ends_with(&mark)).unwrap();
    format!("{}:{}", file!(), line + 1)
}
