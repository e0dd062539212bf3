//! Skills that misbehave cost nothing but themselves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::*;
use crate::recorder::Recorder;
use crate::skill::NoArguments;

#[derive(Serialize, Deserialize)]
struct Count(u32);

fn functions(to: Functions<Count>) -> Functions<Count> {
    to.value("count", "The count.", "some.count()", |count, NoArguments {}| Ok(count.0)).value(
        "broken",
        "Panics.",
        "some.broken()",
        |_, NoArguments {}| -> Result<u32, _> { panic!("out of luck") },
    )
}

struct Panicking(Arc<AtomicU32>);

impl Skill for Panicking {
    type State = Count;
    const MAY_BLOCK: bool = false;

    fn about(&self) -> About {
        About::new("panicking", "", "")
    }

    fn collect(&self) -> Reading<Count> {
        panic!("call {}", self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn functions(to: Functions<Count>) -> Functions<Count> {
        functions(to)
    }
}

/// Waits in `collect` for as long as the test holds the lock.
struct Blocking(Arc<Mutex<u32>>);

impl Skill for Blocking {
    type State = Count;

    fn about(&self) -> About {
        About::new("blocking", "", "")
    }

    fn collect(&self) -> Reading<Count> {
        Ok(Count(*self.0.lock().unwrap()))
    }

    fn functions(to: Functions<Count>) -> Functions<Count> {
        functions(to)
    }
}

fn ask(registry: &Registry, skill: &str, function: &str) -> Result<Value, CallError> {
    let entry = registry.get(skill)?;
    let reason = |reason| CallError::Unavailable { subject: skill.to_owned(), reason };
    let state = entry.collect().map_err(reason)?;
    let recorder = Arc::new(Recorder::new());
    let history = recorder.until(Instant::now());
    entry.call(function, &state, Timestamp::default(), &history, Arguments::default()).map(|answer| answer.to_json())
}

fn registry(add: impl FnOnce(&mut RegistryBuilder)) -> Registry {
    let mut builder = RegistryBuilder::new();
    add(&mut builder);
    builder.build()
}

#[test]
fn a_panicking_skill_is_reported_and_then_left_alone() {
    let calls = Arc::new(AtomicU32::new(0));
    let skill = Panicking(Arc::clone(&calls));
    let registry = registry(|builder| {
        builder.skill(skill).unwrap();
    });
    let entry = registry.get("panicking").unwrap();
    assert_eq!(entry.collect().err().unwrap().to_string(), "the skill panicked: call 0");
    for _ in 0..10 {
        assert_eq!(entry.collect().err().unwrap().code(), "panicked");
    }
    assert_eq!(calls.load(Ordering::Relaxed), MAX_PANICS);
    let source = &entry.sources()[0];
    assert!(
        matches!(&source.status, crate::SourceStatus::Unavailable(Unavailable::Panicked { message }) if message.starts_with("call 2"))
    );
}

#[test]
fn a_stuck_skill_is_left_alone_until_it_answers_again() {
    let lock = Arc::new(Mutex::new(7));
    let skill = Blocking(Arc::clone(&lock));
    let registry = registry(|builder| {
        builder.skill(skill).unwrap();
    });
    assert_eq!(ask(&registry, "blocking", "count").unwrap(), 7);

    let held = lock.lock().unwrap();
    let started = Instant::now();
    let entry = registry.get("blocking").unwrap();
    assert_eq!(entry.collect().err().unwrap().code(), "stuck");
    assert!(started.elapsed() < COLLECT_DEADLINE * 2);
    drop(held);

    let deadline = Instant::now() + Duration::from_secs(5);
    while ask(&registry, "blocking", "count") != Ok(7.into()) {
        assert!(Instant::now() < deadline, "it should answer again");
        std::thread::yield_now();
    }
}

#[test]
fn readers_who_come_together_are_all_answered() {
    let lock = Arc::new(Mutex::new(7));
    let skill = Blocking(Arc::clone(&lock));
    let registry = registry(|builder| {
        builder.skill(skill).unwrap();
    });
    let held = lock.lock().unwrap();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(&registry, "blocking", "count"))).collect();
        std::thread::sleep(COLLECT_DEADLINE / 5);
        drop(held);
        assert!(asked.into_iter().all(|answer| answer.join().unwrap() == Ok(7.into())));
    });
}

#[test]
fn a_panicking_function_names_itself() {
    let lock = Arc::new(Mutex::new(7));
    let registry = registry(|builder| {
        builder.skill(Blocking(lock)).unwrap();
    });
    assert_eq!(
        ask(&registry, "blocking", "broken").unwrap_err().to_string(),
        "`blocking.broken` panicked: out of luck"
    );
    assert_eq!(
        ask(&registry, "blocking", "cuont").unwrap_err().to_string(),
        "there is no function of `blocking` called `cuont`; did you mean `count`?"
    );
}

#[test]
fn unfit_and_doubled_names_are_refused() {
    for name in ["", "Tasks", "9lives", "lambda", "series", "top", "json", "a-b"] {
        let refused = RegistryBuilder::new().absent(About::new(name, "", ""), Unavailable::NeedsTokioUnstable).is_err();
        assert!(refused, "{name:?}");
    }
    let mut builder = RegistryBuilder::new();
    builder.absent(About::new("tasks", "", ""), Unavailable::NeedsTokioUnstable).unwrap();
    let twice = builder.absent(About::new("tasks", "", ""), Unavailable::NeedsTokioUnstable);
    assert_eq!(twice.unwrap_err().to_string(), "two skills are called `tasks`; give one of them another name");
}

struct Unspeakable;

impl Skill for Unspeakable {
    type State = Count;

    fn about(&self) -> About {
        About::new("unspeakable", "", "")
    }

    fn collect(&self) -> Reading<Count> {
        Ok(Count(1))
    }

    fn functions(to: Functions<Count>) -> Functions<Count> {
        to.value("load", "The count.", "unspeakable.load()", |count, NoArguments {}| Ok(count.0))
    }
}

#[test]
fn a_function_that_no_query_could_call_is_refused() {
    let refused = RegistryBuilder::new().skill(Unspeakable).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`unspeakable.load` cannot be called in a query: `load` is a word of the language; give it another name"
    );
}
