//! Stacks of threads that the test parked somewhere: the truth is where it parked them.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::*;
use crate::stack::{Frame, Resolved, Symbolizer};

/// A thread that does `work` after it said who it is.
struct Subject {
    tid: u32,
    thread: JoinHandle<()>,
}

fn subject(work: impl FnOnce() + Send + 'static) -> Subject {
    let tid = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&tid);
    let thread = std::thread::spawn(move || {
        told.store(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned(), Ordering::Release);
        work();
    });
    until(|| (tid.load(Ordering::Acquire) != 0).then_some(()));
    Subject { tid: tid.load(Ordering::Acquire), thread }
}

fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "it should happen");
        std::thread::yield_now();
    }
}

/// The frames of the subject's first stack with `function` in it.
fn frames(subject: &Subject, function: &str) -> (Arc<Resolved>, Arc<[Frame]>) {
    let mut reader = StackReader::new().unwrap();
    let symbolizer = Symbolizer::new();
    until(|| {
        let Look::Stack(stack) = reader.look(subject.tid).unwrap() else { return None };
        let resolved = symbolizer.resolve(stack);
        symbolizer.wait(std::slice::from_ref(&resolved), Duration::from_secs(20));
        let frames = Arc::clone(resolved.frames().unwrap());
        frames.iter().any(|frame| frame.function.contains(function)).then_some((resolved, frames))
    })
}

#[inline(never)]
fn sleeps_here(ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(300)); // the line that sleeps
    }
}

#[test]
fn a_sleeping_threads_stack_reaches_from_the_call_to_the_root() {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let subject = subject(move || sleeps_here(&flag));
    let (resolved, frames) = frames(&subject, "sleeps_here");
    assert!(resolved.stack().is_complete(), "{frames:#?}");
    assert_eq!(resolved.stack().call().as_deref(), Some("clock_nanosleep"));
    let frame = frames.iter().find(|frame| frame.function.ends_with("sleeps_here")).unwrap();
    let line = 1 + include_str!("tests.rs").lines().position(|line| line.ends_with("// the line that sleeps")).unwrap();
    assert_eq!(frame.place.as_deref().unwrap(), format!("{}:{line}", file!()));
    ended.store(true, Ordering::Release);
    subject.thread.join().unwrap();
}

/// Leaves the return addresses of its calls on the stack.
#[inline(never)]
fn leaves_traces(lock: &Mutex<Option<Instant>>) {
    *lock.lock().unwrap() = Some(Instant::now());
    std::thread::yield_now();
    std::thread::sleep(Duration::from_micros(1));
}

#[inline(never)]
fn sleeps_after_traces(lock: &Mutex<Option<Instant>>, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        leaves_traces(lock);
        std::thread::sleep(Duration::from_millis(5));
        std::hint::black_box(());
    }
}

#[test]
fn calls_that_have_returned_are_in_no_stack() {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let subject = subject(move || sleeps_after_traces(&Mutex::new(None), &flag));
    let mut reader = StackReader::new().unwrap();
    let symbolizer = Symbolizer::new();
    let mut stacks = Vec::new();
    until(|| {
        if let Look::Stack(stack) = reader.look(subject.tid).unwrap() {
            stacks.push(symbolizer.resolve(stack));
        }
        std::thread::sleep(Duration::from_millis(1));
        (stacks.len() == 100).then_some(())
    });
    symbolizer.wait(&stacks, Duration::from_secs(20));
    ended.store(true, Ordering::Release);
    subject.thread.join().unwrap();

    // A microsecond's sleep is hardly ever met; the other one nearly always.
    let line = |frame: &Frame| frame.place.as_ref().and_then(|place| place.rsplit_once(':')?.1.parse::<usize>().ok());
    let source: Vec<_> = include_str!("tests.rs").lines().collect();
    let mut in_long = 0;
    for stack in &stacks {
        let frames = stack.frames().unwrap();
        assert!(stack.stack().is_complete(), "{frames:#?}");
        let own = frames.iter().find(|frame| {
            frame.origin == crate::stack::Origin::Plumbing
                && line(frame).is_some_and(|line| {
                    frame.function.contains("sleeps_after_traces")
                        || frame.function.contains("leaves_traces") && line > 0
                })
        });
        let own = own.unwrap_or_else(|| panic!("{frames:#?}"));
        let text = source[line(own).unwrap() - 1];
        assert!(text.contains("thread::sleep") || text.contains("yield_now"), "{text:?} in {frames:#?}");
        in_long += usize::from(text.contains("from_millis(5)"));
    }
    assert!(in_long > 80, "{in_long} of 100 in the sleep that takes nearly all the time");
}

#[inline(never)]
fn locks_here(lock: &Mutex<()>) {
    drop(lock.lock().unwrap());
}

#[inline(never)]
fn reads_here(from: &mut impl Read) {
    let _ = from.read(&mut [0]).unwrap();
}

#[test]
fn threads_that_wait_for_a_lock_a_pipe_and_a_socket_show_where() {
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock().unwrap();
    let same = Arc::clone(&lock);
    let locking = subject(move || locks_here(&same));
    let (resolved, _) = frames(&locking, "locks_here");
    assert!(resolved.stack().is_complete());
    assert_eq!(resolved.stack().call().as_deref(), Some("futex"));
    drop(held);
    locking.thread.join().unwrap();

    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let reading = subject(move || reads_here(&mut reader));
    let (resolved, _) = frames(&reading, "reads_here");
    assert!(resolved.stack().is_complete());
    assert_eq!(resolved.stack().call().as_deref(), Some("read"));
    writer.write_all(&[1]).unwrap();
    reading.thread.join().unwrap();

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let reading = subject(move || reads_here(&mut client));
    let (resolved, _) = frames(&reading, "reads_here");
    assert!(resolved.stack().is_complete());
    assert_eq!(resolved.stack().call().as_deref(), Some("recvfrom"));
    server.write_all(&[1]).unwrap();
    reading.thread.join().unwrap();
}

#[inline(never)]
fn spins_here(ended: &AtomicBool) {
    while !ended.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_running_threads_stack_is_sampled_or_says_what_would_allow_it() {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let subject = subject(move || spins_here(&flag));
    let mut reader = StackReader::new().unwrap();
    let sampled = until(|| match reader.look(subject.tid) {
        Ok(Look::Running(mut sample)) => match until(|| sample.poll(&mut reader).transpose()) {
            // The machine was busy.
            Err(Unavailable::Failed { .. }) => None,
            sampled => Some(sampled),
        },
        Ok(_) => None,
        Err(reason) => Some(Err(reason)),
    });
    let is_allowed = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap().trim() < "3";
    match sampled {
        Ok(stack) => {
            let symbolizer = Symbolizer::new();
            assert!(stack.is_complete());
            let resolved = symbolizer.resolve(stack);
            symbolizer.wait(std::slice::from_ref(&resolved), Duration::from_secs(20));
            let frames = resolved.frames().unwrap();
            assert!(frames.iter().any(|frame| frame.function.ends_with("spins_here")), "{frames:#?}");
        }
        Err(reason) => assert_eq!((reason.code(), is_allowed), ("not_enabled", false)),
    }
    ended.store(true, Ordering::Relaxed);
    subject.thread.join().unwrap();
}

/// `poll(2)` without a retry: a signal, even of a handler with `SA_RESTART`, makes it fail.
#[expect(unsafe_code, reason = "std and rustix hide what an application may see")]
fn poll_is_interrupted() -> bool {
    // SAFETY: poll(2) with no descriptors reads none.
    unsafe { libc::poll(std::ptr::null_mut(), 0, 1) != 0 }
}

#[test]
fn more_threads_than_are_sampled_at_once_take_turns() {
    let ended = Arc::new(AtomicBool::new(false));
    let subjects: Vec<Subject> = (0..2 * MAX_SAMPLES)
        .map(|_| {
            let flag = Arc::clone(&ended);
            subject(move || spins_here(&flag))
        })
        .collect();
    let mut reader = StackReader::new().unwrap();
    let mut samples: Vec<Option<Sample>> =
        subjects.iter().map(|subject| Some(Sample { tid: subject.tid, asked: None })).collect();
    until(|| {
        for (sample, subject) in samples.iter_mut().zip(&subjects) {
            match sample.as_mut().map(|sample| sample.poll(&mut reader)) {
                // The machine was busy.
                Some(Err(Unavailable::Failed { .. })) => *sample = Some(Sample { tid: subject.tid, asked: None }),
                Some(Ok(Some(_)) | Err(_)) => *sample = None,
                Some(Ok(None)) | None => {}
            }
        }
        let asked = samples.iter().flatten().filter(|sample| sample.asked.is_some()).count();
        assert!(asked <= MAX_SAMPLES, "{asked}");
        samples.iter().all(Option::is_none).then_some(())
    });
    ended.store(true, Ordering::Relaxed);
    for subject in subjects {
        subject.thread.join().unwrap();
    }
}

#[test]
fn looking_at_a_thread_interrupts_none_of_its_calls() {
    let ended = Arc::new(AtomicBool::new(false));
    let interrupted = Arc::new(AtomicU32::new(0));
    let (flag, count) = (Arc::clone(&ended), Arc::clone(&interrupted));
    let subject = subject(move || {
        while !flag.load(Ordering::Relaxed) {
            let started = Instant::now();
            while started.elapsed() < Duration::from_micros(300) {}
            count.fetch_add(poll_is_interrupted().into(), Ordering::Relaxed);
        }
    });
    let mut reader = StackReader::new().unwrap();
    let (mut waiting, mut sampled, mut refused) = (0, 0, 0);
    until(|| {
        match reader.look(subject.tid) {
            Ok(Look::Stack(_)) => waiting += 1,
            Ok(Look::Running(mut sample)) => {
                match until(|| sample.poll(&mut reader).transpose()) {
                    Ok(_) => sampled += 1,
                    // A busy machine may not give it a processor in time.
                    Err(Unavailable::Failed { .. }) => {}
                    Err(_) => refused += 1,
                }
            }
            Ok(Look::Moving) => {}
            Err(reason) => panic!("{reason}"),
        }
        (waiting > 500 && sampled + refused > 50).then_some(())
    });
    ended.store(true, Ordering::Relaxed);
    subject.thread.join().unwrap();
    assert_eq!(interrupted.load(Ordering::Relaxed), 0);
}

#[test]
fn a_thread_that_is_gone_is_an_error() {
    let subject = subject(|| {});
    subject.thread.join().unwrap();
    let mut reader = StackReader::new().unwrap();
    until(|| reader.look(subject.tid).err());
}

/// Descends to `depth`, so that every level has its own frame, and then waits.
#[inline(never)]
fn descends(depth: u32, wait: &std::sync::mpsc::Receiver<()>) -> u32 {
    if depth == 0 {
        wait.recv().unwrap();
        return 0;
    }
    descends(depth - 1, wait) + std::hint::black_box(1)
}

#[test]
fn a_deep_stack_keeps_its_innermost_frames() {
    let (go_on, wait): (Sender<()>, _) = channel();
    let subject = subject(move || {
        descends(1000, &wait);
    });
    let (resolved, frames) = frames(&subject, "descends");
    assert_eq!(resolved.stack().len(), MAX_FRAMES);
    assert!(!resolved.stack().is_complete());
    assert!(frames.iter().filter(|frame| frame.function.ends_with("descends")).count() > MAX_FRAMES / 2);
    go_on.send(()).unwrap();
    subject.thread.join().unwrap();
}
