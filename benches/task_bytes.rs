//! What it costs a poll that the bytes are counted which it allocates and frees, as a ratio to lens's hooks without that.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens --features heap --bench task_bytes`. That bytes are counted cannot
//! be undone in a process, so each figure is of a process of its own; they take turns, and a line is the median of their
//! thread's processor time.
#![expect(clippy::print_stdout, reason = "a bench is there to print")]
#![expect(clippy::unwrap_used, reason = "a bench fails where it stands")]

use std::hint::black_box;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 21;
const TASKS: u32 = 64;
const YIELDS: u32 = 40_000;

fn main() {
    if !lens_tokio::TOKIO_UNSTABLE {
        println!("stable tokio has no task hooks to measure: RUSTFLAGS=\"--cfg tokio_unstable\"");
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, work, counts] = &arguments[..]
        && flag == "measure"
    {
        println!("{}", measure(work == "allocating", counts == "bytes"));
        return;
    }
    println!("a current-thread runtime, {TASKS} tasks that yield, ns a poll: median of {ROUNDS} processes in turns\n");
    for work in ["empty", "allocating"] {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (figures, counts) in figures.iter_mut().zip(["hooks", "bytes"]) {
                let child = Command::new(std::env::current_exe().unwrap()).args(["measure", work, counts]).output();
                let output = String::from_utf8(child.unwrap().stdout).unwrap();
                figures.push(output.trim().parse::<f64>().unwrap());
            }
        }
        let [hooks, bytes] = figures.map(|mut figures| {
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        });
        println!(
            "  {work:<10} polls: {hooks:6.1} without, {bytes:6.1} with: {:+.1} ns, ratio {:.3}",
            bytes - hooks,
            bytes / hooks
        );
    }
}

/// Nanoseconds a poll.
fn measure(allocates: bool, counts: bool) -> f64 {
    if counts {
        lens_tokio::count_bytes(Ok(lens_jemalloc::thread_bytes));
    }
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = lens_tokio::instrument(builder.enable_all()).build().unwrap();
    let mut ticker = lens_tokio::ticker();
    let (stop, stopped) = channel::<()>();
    let ticking = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
            ticker.tick();
        }
    });
    let work = |yields: u32| {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    tokio::spawn(async move {
                        for _ in 0..yields {
                            if allocates {
                                drop(black_box(Vec::<u8>::with_capacity(1024)));
                            }
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    };
    work(YIELDS / 10);
    let before = thread_ns();
    work(YIELDS);
    let took = thread_ns() - before;
    drop(stop);
    ticking.join().unwrap();
    took / f64::from(TASKS * YIELDS)
}

/// Processor time of this thread.
#[expect(clippy::cast_precision_loss, reason = "a difference of two needs no more than 52 bits")]
fn thread_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
