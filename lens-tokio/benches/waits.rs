//! What the waits layer costs: CPU time of one operation without the layer, with the layer switched off, and switched on.
//!
//! A subscriber belongs to a process, so each mode is a process of its own; they take turns, round by round, and a
//! round's ratio is against the same round's process without a layer. Run as
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens-tokio --features waits --bench waits [ROUNDS]`; with the feature
//! `console`, too, that layer and console-subscriber take turns with the others. Only the thread that does the work is
//! counted, not the one that console-subscriber reads its events in.
#![expect(clippy::print_stdout, reason = "a bench is there to print")]

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lens_tokio::waits::{Waits, waits_layer};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Mutex, RwLock, Semaphore, mpsc, oneshot};
use tracing_subscriber::layer::SubscriberExt;

/// With the feature `console` also that layer, switched off and on, and console-subscriber as it comes.
const MODES: &[&str] = if cfg!(feature = "console") {
    &["none", "off", "on", "console off", "console on", "console-subscriber"]
} else {
    &["none", "off", "on"]
};
const WORKLOADS: [&str; 9] = [
    "mutex lock+unlock",
    "rwlock read+unlock",
    "semaphore acquire+release",
    "mpsc send+recv",
    "oneshot",
    "timeout(ready)",
    "yield (one poll)",
    "spawn+join",
    "mutex, contended by 8",
];
const DEFAULT_ROUNDS: usize = 11;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let Some(mode) = arguments.iter().position(|argument| argument == "--mode") {
        let cost = measure(&arguments[mode + 1]);
        println!("{}", cost.map(|nanos| format!("{nanos:.1}")).join(" "));
        return;
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_ROUNDS);
    let program = env::current_exe().expect("the bench has a path");
    let mut nanos = vec![[const { Vec::<f64>::new() }; WORKLOADS.len()]; MODES.len()];
    for _ in 0..rounds {
        for (mode, costs) in MODES.iter().zip(&mut nanos) {
            let output = Command::new(&program).args(["--mode", mode]).output().expect("the bench can run itself");
            let text = String::from_utf8_lossy(&output.stdout);
            let values: Vec<f64> = text.split_whitespace().filter_map(|value| value.parse().ok()).collect();
            assert_eq!(values.len(), WORKLOADS.len(), "{}", String::from_utf8_lossy(&output.stderr));
            costs.iter_mut().zip(values).for_each(|(costs, value)| costs.push(value));
        }
    }
    println!(
        "CPU ns an operation, median of {rounds} rounds; in brackets the median ratio to `none` of the same round"
    );
    print!("{:<28}{:>9}", "", MODES[0]);
    MODES[1..].iter().for_each(|mode| print!("{mode:>20}"));
    println!();
    for (index, workload) in WORKLOADS.iter().enumerate() {
        let none = &nanos[0][index];
        let column = |costs: &Vec<f64>| {
            let ratios = costs.iter().zip(none).map(|(cost, none)| cost / none).collect();
            format!("{:.0} (x{:.2})", median(costs.clone()), median(ratios))
        };
        print!("{workload:<28}{:>9.0}", median(none.clone()));
        nanos[1..].iter().for_each(|costs| print!("{:>20}", column(&costs[index])));
        println!();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The cost of each workload in this process.
fn measure(mode: &str) -> [f64; WORKLOADS.len()] {
    #[cfg(feature = "console")]
    if mode.starts_with("console") {
        console(mode);
    }
    if mode == "on" || mode == "off" {
        let registry = tracing_subscriber::registry().with(waits_layer());
        tracing::subscriber::set_global_default(registry).expect("no other subscriber was set");
        if mode == "off" {
            Waits::global().disable();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
    // In a task, as a service's code is.
    let local = tokio::task::LocalSet::new();
    let workloads = local.spawn_local(workloads());
    runtime.block_on(local.run_until(workloads)).expect("no workload panics")
}

/// A layer of the feature `console`, or console-subscriber's own.
#[cfg(feature = "console")]
fn console(mode: &str) {
    use lens_tokio::Console;
    use lens_tokio::console::console_layer;

    let is_set = if mode == "console-subscriber" {
        let builder = console_subscriber::ConsoleLayer::builder().retention(Duration::from_secs(1));
        let layer = builder.server_addr(([127, 0, 0, 1], 0)).spawn();
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
    } else {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(console_layer()))
    };
    is_set.expect("no other subscriber was set");
    if mode == "console on" {
        Console::global().enable().expect("the layer sees tokio");
    }
}

async fn workloads() -> [f64; WORKLOADS.len()] {
    let mutex = Mutex::new(0_u64);
    let lock = cost(100_000, async |_| *mutex.lock().await += 1).await;
    let rwlock = RwLock::new(0_u64);
    let read = cost(100_000, async |_| drop(rwlock.read().await)).await;
    let semaphore = Semaphore::new(2);
    let acquire = cost(50_000, async |_| drop(semaphore.acquire().await)).await;
    let (sender, mut receiver) = mpsc::channel(16);
    let channel = cost(50_000, async |index| {
        sender.send(index).await.expect("the receiver lives");
        receiver.recv().await.expect("the sender lives");
    });
    let channel = channel.await;
    let once = cost(50_000, async |index| {
        let (sender, receiver) = oneshot::channel();
        sender.send(index).expect("the receiver lives");
        receiver.await.expect("it was sent");
    });
    let once = once.await;
    let timeout = cost(50_000, async |_| {
        tokio::time::timeout(Duration::from_secs(60), std::future::ready(())).await.expect("it is ready");
    });
    let timeout = timeout.await;
    let poll = cost(100_000, async |_| tokio::task::yield_now().await).await;
    let spawn = cost(30_000, async |_| tokio::spawn(async {}).await.expect("it does not panic")).await;
    [lock, read, acquire, channel, once, timeout, poll, spawn, contended().await]
}

/// A lock that always somebody waits for, so that each unlock hands it over.
async fn contended() -> f64 {
    const TASKS: u32 = 8;
    const LOCKS: u32 = 5_000;
    let mutex = Arc::new(Mutex::new(0_u64));
    let before = cpu_nanos();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let mutex = Arc::clone(&mutex);
            tokio::spawn(async move {
                for _ in 0..LOCKS {
                    let mut guard = mutex.lock().await;
                    *guard += 1;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    (cpu_nanos() - before) / f64::from(TASKS * LOCKS)
}

/// CPU nanoseconds of one call, after some calls to warm up.
async fn cost(calls: u32, mut call: impl AsyncFnMut(u32)) -> f64 {
    for index in 0..calls / 10 {
        call(index).await;
    }
    let before = cpu_nanos();
    for index in 0..calls {
        call(index).await;
    }
    (cpu_nanos() - before) / f64::from(calls)
}

/// The CPU time of this thread.
fn cpu_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0)).as_secs_f64() * 1e9
}
