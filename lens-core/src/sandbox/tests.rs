use std::sync::Arc;

use super::*;
use crate::recorder::Recorder;
use crate::registry::RegistryBuilder;

fn empty() -> Arc<Capture> {
    let registry = Arc::new(RegistryBuilder::new().build());
    Arc::new(Capture::live(&registry, &Arc::new(Recorder::new())))
}

fn ask(source: &str) -> Result<Outcome, QueryError> {
    Sandbox::new(Limits::default()).run(source, empty())
}

#[test]
fn last_expression_is_the_answer() {
    assert_eq!(ask("x = 1\nx + 2").unwrap().value, 3);
}

#[test]
fn main_answers_when_no_expression_does() {
    assert_eq!(ask("def main():\n    return [1, 2]\n").unwrap().value, serde_json::json!([1, 2]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_query_that_takes_long_makes_room_for_the_service() {
    let niceness = || rustix::process::getpriority_process(None).unwrap();
    let processors = || rustix::thread::sched_getaffinity(None).unwrap().count();
    let sandbox = Sandbox::new(Limits { wall: FAIR_FOR * 10, ..Limits::default() });
    let endless = "for a in range(1000000):\n for b in range(1000000): pass";
    let answered = |source: &str| loop {
        let (answer, answered) = std::sync::mpsc::channel();
        let told = move |_| {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            answer.send((thread, (niceness(), processors()))).unwrap();
        };
        let running = sandbox.start(source, empty(), told).unwrap();
        let (thread, room) = answered.recv().unwrap();
        drop(running);
        // On a busy machine the watcher may answer for it.
        if thread == "lens-query" {
            break room;
        }
    };
    // On a busy machine even this may take long.
    assert!((0..100).any(|_| answered("1 + 1") == (niceness(), processors())));
    // A quota may allow fewer than there are.
    let usable = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    assert_eq!(answered(endless), (niceness() + STEP_BACK, usable.div_ceil(2)));
}

#[test]
fn a_time_without_an_end_is_an_hour() {
    let limits = Limits { wall: Duration::MAX, work_wall: Duration::MAX, concurrency: 1, ..Limits::default() };
    let sandbox = Sandbox::new(limits);
    assert_eq!((sandbox.limits().wall, sandbox.limits().work_wall), (MAX_WALL, MAX_WALL));
    for _ in 0..2 {
        assert_eq!(sandbox.run("1 + 1", empty()).unwrap().value, 2);
    }
}
