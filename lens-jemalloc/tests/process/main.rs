//! Every test here is a process of its own: it owns the allocator and jemalloc's options, and knows every byte.
//!
//! `cargo test --test process NAME` runs those whose name contains `NAME`.

#![expect(clippy::unwrap_used, reason = "these are tests, whatever their harness")]

mod diagnose;
mod foreign;
mod stats;
mod watch;

use std::env;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A test, with the options that jemalloc gets in its process.
struct Case {
    name: &'static str,
    options: &'static str,
    run: fn(),
}

/// The names of the functions and jemalloc's options for each.
macro_rules! cases {
    ($($module:ident::$name:ident($options:literal)),* $(,)?) => {
        &[$(Case { name: stringify!($name), options: $options, run: $module::$name }),*]
    };
}

const CASES: &[Case] = cases![
    diagnose::a_burst_that_a_background_thread_gives_back_is_no_cause(
        "background_thread:true,dirty_decay_ms:1000,oversize_threshold:0"
    ),
    diagnose::a_burst_that_nobody_gives_back_is_undecayed("dirty_decay_ms:6000,oversize_threshold:0"),
    diagnose::arenas_that_threads_left_are_idle("narenas:9,dirty_decay_ms:6000,oversize_threshold:0"),
    diagnose::a_leak_is_named_with_its_size_class(""),
    diagnose::slabs_that_few_blocks_keep_are_named(""),
    diagnose::pages_that_were_only_offered_are_muzzy("dirty_decay_ms:100,muzzy_decay_ms:60000,oversize_threshold:0"),
    diagnose::caches_of_many_threads_are_named(""),
    diagnose::a_page_more_for_each_block_is_named(""),
    diagnose::memory_that_jemalloc_does_not_know_is_foreign(""),
    diagnose::memory_that_nobody_touched_costs_nothing(""),
    diagnose::coming_and_going_is_healthy(""),
    stats::what_the_service_holds_is_live_and_what_it_frees_is_not(""),
    stats::rates_are_what_leaves_the_arenas_and_comes_back_a_second(""),
    stats::the_parts_of_the_memory_add_up_to_what_is_in_memory(""),
    stats::options_that_somebody_set_come_first("dirty_decay_ms:4321,tcache_max:4096"),
    stats::a_contended_lock_shows_its_waits(""),
];

/// How many run at once: they mostly wait.
const AT_ONCE: usize = 4;

/// How long a test may take.
const DEADLINE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name] = &arguments[..]
        && flag == "--case"
    {
        let case = CASES.iter().find(|case| case.name == name).expect("the parent names a case");
        (case.run)();
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str())))
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for case in chosen {
            say(&format!("{}: test", case.name));
        }
        return ExitCode::SUCCESS;
    }
    if run(&chosen) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(chosen: &[&Case]) -> bool {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let output = Mutex::new(());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = in_own_process(case);
                    let _one_at_a_time = output.lock().unwrap();
                    match outcome {
                        Ok(()) => say(&format!("test {} ... ok", case.name)),
                        Err(why) => {
                            failed.store(true, Ordering::Relaxed);
                            say(&format!("test {} ... FAILED\n{why}", case.name));
                        }
                    }
                }
            });
        }
    });
    !failed.into_inner()
}

fn in_own_process(case: &Case) -> Result<(), String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--case", case.name])
        .env("_RJEM_MALLOC_CONF", case.options)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let said = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let until = Instant::now() + DEADLINE;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > until => {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let said = said.join().unwrap().unwrap();
    if status.success() { Ok(()) } else { Err(format!("{status}\n{said}")) }
}

#[expect(clippy::print_stdout, reason = "this is the test harness of its own processes")]
fn say(line: &str) {
    println!("{line}");
}
