//! What a task costs, against the test's own count and clock.

use std::future::pending;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lens_core::Metrics;
use lens_tokio::builder::Runtime;
use serde_json::json;
use tokio::sync::oneshot;

use crate::ask::{ask, ask_of, current_thread, line, number, registry, site, ticking, wait_until, workers};

#[test]
fn polls_are_exact_for_each_task_and_for_its_site() {
    let runtime = workers(2);
    let truth = Arc::new(AtomicU64::new(0));
    let place = line(4);
    let tasks: Vec<_> = (0..50u64)
        .map(|n| {
            let truth = Arc::clone(&truth);
            runtime.spawn(async move {
                let mut polls = 0;
                std::future::poll_fn(|context| {
                    truth.fetch_add(1, Ordering::Relaxed);
                    polls += 1;
                    if polls > n * 10 {
                        return std::task::Poll::Ready(());
                    }
                    context.waker().wake_by_ref();
                    std::task::Poll::Pending
                })
                .await;
                pending::<()>().await;
            })
        })
        .collect();
    let expected: u64 = (0..50u64).map(|n| n * 10 + 1).sum();
    wait_until("all tasks should wait", || truth.load(Ordering::Relaxed) == expected);
    for (task, n) in tasks.iter().zip(0u64..) {
        assert_eq!(ask("get", &json!({"id": number(task.id())}))["polls_total"], n * 10 + 1);
    }
    assert_eq!(site(&place)["polls_total"], expected);
}

/// 10 000 polls that take turns to last these times. Gives by the test's own clock their sum, and the longest of those
/// that are certainly measured: all after the first that is sampled. And the task. The clock is read first and last in a
/// poll: on a busy machine, what is left out would be more than a few percent.
fn spin(runtime: &Runtime, spins: &'static [Duration]) -> (Duration, u64, Duration) {
    const POLLS: usize = 10_000;
    let (send, receive) = oneshot::channel();
    let task = runtime.spawn(async move {
        let mut work = pin!(async {
            for poll in 0..POLLS {
                let started = Instant::now();
                while started.elapsed() < spins[poll % spins.len()] {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
        });
        let (mut polls, mut busy, mut longest) = (0, Duration::ZERO, Duration::ZERO);
        std::future::poll_fn(|context| {
            let started = Instant::now();
            let polled = work.as_mut().poll(context);
            let took = started.elapsed();
            busy += took;
            if polls > 192 {
                longest = longest.max(took);
            }
            polls += 1;
            polled
        })
        .await;
        send.send((busy, longest)).unwrap();
        pending::<()>().await;
    });
    let (busy, longest) = runtime.block_on(receive).unwrap();
    let id = number(task.id());
    wait_until("the task should wait", || ask("get", &json!({"id": id}))["state"] == "idle");
    (busy, id, longest)
}

/// Spins until the task's busy time was twice that by the test's own clock, of three times: other tests run beside this
/// one, and what they take between the two clocks is nobody's error.
#[track_caller]
fn assert_right(spins: impl Fn() -> (Duration, u64, Duration)) {
    let mut errors = Vec::new();
    for _ in 0..3 {
        let (busy, id, _) = spins();
        let busy_ms = ask("get", &json!({"id": id}))["busy_ms"].as_f64().unwrap();
        errors.push(busy_ms / (busy.as_secs_f64() * 1e3) - 1.0);
        if errors.iter().filter(|error| error.abs() < 0.05).count() == 2 {
            return;
        }
    }
    panic!("{errors:?} off");
}

#[test]
fn busy_time_of_a_known_mix_is_right() {
    const MIX: &[Duration] = &[
        Duration::from_micros(20),
        Duration::from_micros(400),
        Duration::from_micros(30),
        Duration::from_micros(5),
        Duration::from_micros(100),
    ];
    let _ticking = ticking();
    for runtime in [current_thread(), workers(2)] {
        assert_right(|| {
            let (busy, id, longest) = spin(&runtime, MIX);
            let row = ask("get", &json!({"id": id}));
            assert_eq!(row["polls_total"], 10_001);
            let longest_ms = longest.as_secs_f64() * 1e3;
            assert!(row["longest_poll_ms"].as_f64().unwrap() >= longest_ms * 0.999, "{longest_ms}: {row}");
            (busy, id, longest)
        });
    }
}

#[test]
fn busy_time_of_long_and_short_polls_in_turns_is_right() {
    // One poll of 64 is long, as in a service that mostly forwards; a fixed stride of samples would always or never hit it.
    static MIX: [Duration; 64] = {
        let mut mix = [Duration::from_micros(20); 64];
        mix[63] = Duration::from_millis(4);
        mix
    };
    let _ticking = ticking();
    let runtime = current_thread();
    assert_right(|| spin(&runtime, &MIX));
}

#[test]
fn the_distribution_of_poll_times_is_the_tests_own() {
    let _ticking = ticking();
    let place = line(2);
    let longest = current_thread().block_on(async {
        let task = tokio::spawn(async {
            let mut longest = Duration::ZERO;
            for poll in 0..2000 {
                // One of 40 is more than a hundredth of all.
                let length = if poll % 40 == 39 { Duration::from_millis(3) } else { Duration::from_micros(50) };
                let started = Instant::now();
                while started.elapsed() < length {
                    std::hint::spin_loop();
                }
                longest = longest.max(started.elapsed());
                tokio::task::yield_now().await;
            }
            longest
        });
        task.await.unwrap()
    });
    let site = site(&place);
    let [half, most] = ["poll_p50_ms", "poll_p99_ms"].map(|field| site[field].as_f64().unwrap());
    // The powers of two after 50 µs and 3 ms; a busy machine interrupts some of the long polls.
    assert_eq!(half, 0.065_536, "{site}");
    assert!(most >= 4.194_304 && most <= 2e3 * longest.as_secs_f64(), "{longest:?}: {site}");
}

#[test]
fn rates_of_a_site_are_the_tests_own() {
    const TASKS: u32 = 300;
    let (registry, runtime) = (registry(), workers(2));
    let tasks = registry.get("tasks").unwrap();
    let sampled = timed(|| drop(tasks.metrics(Metrics::default()).unwrap()));
    let place = line(3);
    runtime.block_on(async {
        for _ in 0..TASKS {
            tokio::spawn(tokio::task::yield_now()).await.unwrap();
        }
    });
    wait_until("all have finished", || site(&place)["finished_total"] == TASKS);
    std::thread::sleep(Duration::from_millis(1100));
    let mut asked = None;
    let read = timed(|| asked = Some(ask_of(&registry, "sites", &json!({"site": place})).unwrap()));
    let site = &asked.unwrap()[0];
    for (field, count) in [("spawned_per_s", TASKS), ("finished_per_s", TASKS), ("polls_per_s", 2 * TASKS)] {
        let per_s = |over: Duration| f64::from(count) / over.as_secs_f64();
        let (least, most) = (per_s(read.end - sampled.start), per_s(read.start - sampled.end));
        assert!((least..=most).contains(&site[field].as_f64().unwrap()), "{least} to {most} {field}: {site}");
    }
}

/// When it was done.
fn timed(work: impl FnOnce()) -> Range<Instant> {
    let start = Instant::now();
    work();
    start..Instant::now()
}

#[test]
fn a_long_poll_among_tiny_ones_is_seen_by_the_clock() {
    let _ticking = ticking();
    let runtime = current_thread();
    let place = line(3);
    let started = Instant::now();
    let held = runtime.block_on(async {
        let task = tokio::spawn(async {
            let mut held = Duration::ZERO;
            for poll in 0..1000 {
                // Too rare to be sampled: the chance is about one in sixteen.
                if poll == 500 {
                    let from = Instant::now();
                    std::thread::sleep(Duration::from_millis(300));
                    held = from.elapsed();
                }
                tokio::task::yield_now().await;
            }
            held
        });
        task.await.unwrap()
    });
    let all = started.elapsed().as_secs_f64() * 1e3;
    let longest = site(&place)["longest_poll_ms"].as_f64().unwrap();
    assert!(longest > held.as_secs_f64() * 1e3 * 0.8 && longest < all + 10.0, "{longest} ms of {held:?}");
}

#[test]
fn age_and_idle_time_are_the_tests_own() {
    for ticks in [true, false] {
        let _ticking = ticks.then(ticking);
        let runtime = current_thread();
        let (is_idle, idles) = tokio::sync::oneshot::channel();
        let ms = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        let before = Instant::now();
        let task = runtime.spawn(async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            is_idle.send(Instant::now()).unwrap();
            pending::<()>().await;
        });
        let spawned = Instant::now();
        let idle_since = runtime.block_on(async {
            let idle_since = idles.await.unwrap();
            tokio::time::sleep(Duration::from_millis(90)).await;
            idle_since
        });
        let least = [spawned, idle_since].map(|since| ms(since) - 10.0);
        let row = ask("get", &json!({"id": number(task.id())}));
        // The clock may tick late.
        let most = [before, idle_since].map(|since| ms(since) + 50.0);
        let [age, idle] = ["age_ms", "idle_ms"].map(|field| row[field].as_f64().unwrap());
        assert!((least[0]..most[0]).contains(&age), "age {age} of {least:?} to {most:?}");
        assert!((least[1]..most[1]).contains(&idle), "idle {idle} of {least:?} to {most:?}");
        assert_eq!(row["polls_total"], 2);
    }
}

#[test]
fn lifetimes_and_counts_of_a_site_are_exact() {
    let runtime = workers(2);
    let place = line(4);
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..1000 {
            tasks.spawn(async move {
                if n % 2 == 0 {
                    pending::<()>().await
                }
            });
        }
        while tasks.len() > 500 {
            tasks.join_next().await.unwrap().unwrap();
        }
        // tokio tells who joins a task before it tells the hooks.
        wait_until("half of them have finished", || site(&place)["finished_total"] == 500);
        assert_eq!(site(&place)["live"], 500);
        tasks.shutdown().await;
    });
    wait_until("all have finished", || site(&place)["finished_total"] == 1000);
    let all = site(&place);
    assert_eq!((all["live"].as_u64(), all["spawned_total"].as_u64()), (Some(0), Some(1000)));
    assert!(all["lifetime_p50_ms"].as_f64().unwrap() >= 1.0);
}
