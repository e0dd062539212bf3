use std::sync::mpsc::channel;

use super::*;

fn threads(limits: &Limits) -> Arc<Threads> {
    Threads::new(limits)
}

fn late() -> QueryError {
    QueryError::new(QueryErrorKind::Limit, "late")
}

#[test]
fn panic_in_work_is_an_internal_error() {
    let (answer, answered) = channel();
    threads(&Limits::default())
        .start::<()>(
            Duration::from_secs(5),
            late(),
            |_| panic!("by intent"),
            move |result| answer.send(result).unwrap(),
        )
        .unwrap();
    let error = answered.recv().unwrap().unwrap_err();
    assert_eq!(error.kind, QueryErrorKind::Internal);
    assert!(error.message.contains("by intent"), "{error}");
}

#[test]
fn hanging_work_is_answered_late_and_counted_until_it_ends() {
    let limits = Limits { abandoned: 1, ..Limits::default() };
    let threads = threads(&limits);
    let (release, released) = channel::<()>();
    let (answer, answered) = channel();
    let wall = Duration::from_millis(10);
    threads
        .start(
            wall,
            late(),
            move |delivery| delivery.deliver(Ok(released.recv().is_ok())),
            move |result| answer.send(result).unwrap(),
        )
        .unwrap();
    assert_eq!(answered.recv().unwrap().unwrap_err().message, "late");
    assert_eq!((threads.abandoned().len_count, threads.abandoned().cap_count), (1, 1));

    let refused = threads
        .start(
            wall,
            late(),
            |delivery| delivery.deliver(Ok(())),
            |_: Result<(), _>| panic!("refused work is not answered"),
        )
        .unwrap_err();
    assert_eq!(refused.kind, QueryErrorKind::Overloaded);
    assert_eq!(threads.store().dropped_total, 1);

    release.send(()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (answer, answered) = channel();
        if threads
            .start(wall * 100, late(), |delivery| delivery.deliver(Ok(7)), move |result| answer.send(result).unwrap())
            .is_ok()
        {
            assert_eq!(answered.recv().unwrap().unwrap(), 7);
            break;
        }
        assert!(Instant::now() < deadline, "the given up thread ended but is still counted");
        std::thread::yield_now();
    }
    assert_eq!(threads.abandoned().len_count, 0);
}

#[test]
fn work_beyond_the_slots_is_refused_and_counted() {
    let threads = threads(&Limits { concurrency: 1, ..Limits::default() });
    let (release, released) = channel::<()>();
    let (answer, answered) = channel();
    let wall = Duration::from_secs(60);
    threads
        .start(
            wall,
            late(),
            move |delivery| delivery.deliver(Ok(released.recv().is_ok())),
            move |result| answer.send(result).unwrap(),
        )
        .unwrap();
    let refused = threads
        .start(
            wall,
            late(),
            |delivery| delivery.deliver(Ok(())),
            |_: Result<(), _>| panic!("refused work is not answered"),
        )
        .unwrap_err();
    assert_eq!(refused.kind, QueryErrorKind::Overloaded);
    let store = threads.store();
    assert_eq!((store.len_count, store.cap_count, store.dropped_total), (1, 1, 1));
    release.send(()).unwrap();
    assert!(answered.recv().unwrap().unwrap());
    assert_eq!(threads.store().len_count, 0);
}

#[test]
fn panic_after_the_answer_changes_nothing() {
    let threads = threads(&Limits { concurrency: 1, ..Limits::default() });
    let (answer, answered) = channel();
    let work = |delivery: Delivery<u32>| {
        delivery.deliver(Ok(7));
        panic!("by intent");
    };
    threads.start(Duration::from_secs(60), late(), work, move |result| answer.send(result).unwrap()).unwrap();
    assert_eq!(answered.recv().unwrap().unwrap(), 7);
    assert!(answered.recv().is_err(), "it is answered once");
    assert_eq!(threads.store().len_count, 0);
}

#[test]
fn work_is_done_by_a_thread_of_which_the_cost_is_counted() {
    let (answer, answered) = channel();
    threads(&Limits::default())
        .start(
            Duration::from_secs(5),
            late(),
            |delivery| delivery.deliver(Ok(crate::threads::is_own())),
            move |result| answer.send(result).unwrap(),
        )
        .unwrap();
    assert_eq!(answered.recv().unwrap(), Ok(true));
}
