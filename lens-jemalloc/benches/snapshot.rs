//! What reading jemalloc costs: a snapshot's time, and how much slower threads allocate while one is taken each second.
//!
//! `cargo bench -p lens-jemalloc --bench snapshot`. Times are processor time of the thread; rounds with and without the
//! reader take turns, and a figure is the median.
#![expect(clippy::print_stdout, reason = "a bench is there to print")]
#![expect(clippy::unwrap_used, reason = "a bench fails where it stands")]

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use lens_jemalloc::snapshot::{Reader, Snapshot};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ARENAS: usize = 8;
const SNAPSHOTS: usize = 501;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(3);
const ALLOCATORS: usize = 2;

fn main() {
    if std::env::var_os("_RJEM_MALLOC_CONF").is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env("_RJEM_MALLOC_CONF", format!("narenas:{ARENAS}"))
            .status();
        assert!(status.unwrap().success());
        return;
    }
    use_all_arenas();
    let reader = Reader::start().unwrap();
    let mut snapshot = Snapshot::default();
    reader.read(&mut snapshot).unwrap();
    let took = median((0..SNAPSHOTS).map(|_| {
        let before = thread_ns();
        reader.read(&mut snapshot).unwrap();
        (thread_ns() - before) / 1e3
    }));
    println!("a snapshot of {} arenas: {took:.1} µs, median of {SNAPSHOTS}", snapshot.arenas.len());

    let (mut alone, mut read) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(allocate(None));
        read.push(allocate(Some(&reader)));
    }
    let (alone, read) = (median(alone.into_iter()), median(read.into_iter()));
    let ratio = read / alone;
    println!(
        "{ALLOCATORS} threads allocate and free: {alone:.2} ns, {read:.2} ns with a reader each second, ratio {ratio:.4}"
    );
}

/// Each new thread is given the next arena.
fn use_all_arenas() {
    let all = Barrier::new(ARENAS * 2);
    thread::scope(|scope| {
        for _ in 0..ARENAS * 2 {
            scope.spawn(|| {
                drop(black_box(vec![1_u8; 100_000]));
                all.wait();
            });
        }
    });
}

/// Nanoseconds of processor time that an allocation takes with its free, over a round.
fn allocate(reader: Option<&Reader>) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let work = || {
            let stop = Arc::clone(&stop);
            scope.spawn(move || {
                let (mut count, before) = (0_u32, thread_ns());
                while !stop.load(Ordering::Relaxed) {
                    // Past the thread's cache now and then: small, middle and large blocks.
                    for size in (16..2063).step_by(89).chain([20_000, 40_000]) {
                        drop(black_box(Vec::<u8>::with_capacity(size)));
                        count += 1;
                    }
                }
                (thread_ns() - before) / f64::from(count)
            })
        };
        let threads: Vec<_> = (0..ALLOCATORS).map(|_| work()).collect();
        let mut snapshot = Snapshot::default();
        let end = Instant::now() + ROUND;
        while Instant::now() < end {
            if let Some(reader) = reader {
                reader.read(&mut snapshot).unwrap();
            }
            thread::sleep(Duration::from_secs(1));
        }
        stop.store(true, Ordering::Relaxed);
        median(threads.into_iter().map(|thread| thread.join().unwrap()))
    })
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Processor time of this thread.
#[expect(clippy::cast_precision_loss, reason = "a difference of two needs no more than 52 bits")]
fn thread_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
