//! Polls of tasks that several threads poll in turns, against the tasks' own counts. Without optimization most of these
//! polls are too long to be tallied; that is shown beside the table itself.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread::ThreadId;

use serde_json::json;

use crate::ask::{ask, line, number, site, ticking, wait_until, workers};

/// More than a thread has tallies of, so that tallies change hands.
const TASKS: usize = 300;

/// What a task knows of itself.
#[derive(Default)]
struct Own {
    polls: AtomicU64,
    threads: Mutex<HashSet<ThreadId>>,
    waker: Mutex<Option<Waker>>,
    ends: AtomicBool,
}

impl Own {
    async fn count(self: Arc<Self>) {
        poll_fn(|context| {
            self.polls.fetch_add(1, Ordering::SeqCst);
            self.threads.lock().unwrap().insert(std::thread::current().id());
            *self.waker.lock().unwrap() = Some(context.waker().clone());
            if self.ends.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// From outside of the runtime, so that any worker takes it.
    fn wake(&self) {
        if let Some(waker) = self.waker.lock().unwrap().clone() {
            waker.wake();
        }
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    fn has_moved(&self) -> bool {
        self.threads.lock().unwrap().len() > 1 && self.polls() > 64
    }
}

#[test]
fn polls_of_tasks_that_move_are_exact_while_they_move_and_when_they_have_ended() {
    let _ticking = ticking();
    let runtime = workers(3);
    let owns: Vec<Arc<Own>> = (0..TASKS).map(|_| Arc::default()).collect();
    let place = line(1);
    let tasks: Vec<_> = owns.iter().map(|own| runtime.spawn(Arc::clone(own).count())).collect();
    let own_of: HashMap<u64, &Own> = tasks.iter().zip(&owns).map(|(task, own)| (number(task.id()), &**own)).collect();
    let told = |function: &str| -> Vec<(u64, u64)> {
        let rows = ask(function, &json!({"site": place, "limit": 100_000}));
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| (row["id"].as_u64().unwrap(), row["polls_total"].as_u64().unwrap())).collect()
    };

    let stops = Arc::new(AtomicBool::new(false));
    let waking = {
        let (owns, stops) = (owns.clone(), Arc::clone(&stops));
        std::thread::spawn(move || {
            while !stops.load(Ordering::SeqCst) {
                owns.iter().for_each(|own| own.wake());
            }
        })
    };
    wait_until("most tasks should move", || {
        let before: HashMap<u64, u64> = own_of.iter().map(|(id, own)| (*id, own.polls())).collect();
        for (id, polls) in told("list") {
            // A poll is counted before the task can count it.
            let after = own_of[&id].polls() + 1;
            assert!((before[&id]..=after).contains(&polls), "task {id}: {polls}, not {} to {after}", before[&id]);
        }
        own_of.values().filter(|own| own.has_moved()).count() > TASKS / 2
    });
    stops.store(true, Ordering::SeqCst);
    waking.join().unwrap();

    let truth = || -> HashMap<u64, u64> { own_of.iter().map(|(id, own)| (*id, own.polls())).collect() };
    wait_until("what the table says is what the tasks counted", || {
        told("list").into_iter().collect::<HashMap<_, _>>() == truth()
    });

    for own in &owns {
        own.ends.store(true, Ordering::SeqCst);
        own.wake();
    }
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
    let ended = || told("ended");
    wait_until("ends should be told", || ended().len() >= 64);
    assert!(ended().iter().all(|(id, polls)| own_of[id].polls() == *polls), "{:?}", ended());
    assert_eq!(site(&place)["polls_total"], truth().values().sum::<u64>());
}

#[test]
fn the_end_of_a_task_that_moved_is_told_with_all_its_polls() {
    let _ticking = ticking();
    let runtime = workers(3);
    let own = Arc::new(Own::default());
    let place = line(1);
    let task = runtime.spawn(Arc::clone(&own).count());
    wait_until("the task should move", || {
        own.wake();
        own.threads.lock().unwrap().len() == 3 && own.polls() > 1_000
    });
    own.ends.store(true, Ordering::SeqCst);
    own.wake();
    runtime.block_on(task).unwrap();
    let ended = || ask("ended", &json!({"site": place}));
    wait_until("the task's end should be told", || ended()[0].is_object());
    assert_eq!(ended()[0]["polls_total"], own.polls());
}
