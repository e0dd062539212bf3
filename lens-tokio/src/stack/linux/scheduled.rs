//! What the kernel's scheduler has given to a thread. Separate because it says nothing of where the thread is.
#![expect(unsafe_code, reason = "rustix has no clock of another thread")]

use std::fs;
use std::io;

use crate::stack::Scheduled;

/// What the thread `tid` of this process was given until now.
///
/// # Errors
///
/// There is no such thread, or the kernel is built without `CONFIG_SCHED_INFO`.
pub(crate) fn scheduled(tid: u32) -> io::Result<Scheduled> {
    let line = fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"))?;
    let mut words = line.split_ascii_whitespace().map(str::parse);
    let mut next = || words.next().and_then(Result::ok).ok_or_else(|| io::Error::other("schedstat is not understood"));
    let (counted_ns, waited_ns, times) = (next()?, next()?, next()?);
    Ok(Scheduled { ran_ns: ran_ns(tid).unwrap_or(counted_ns), waited_ns, times })
}

/// How long the thread ran until now, by its own clock: `schedstat` counts what a running thread ran at the kernel's tick, up
/// to 10 ms later.
fn ran_ns(tid: u32) -> Option<u64> {
    /// What the lowest bits of a clock's number say: a thread's, and the time that the scheduler gave it.
    const THREAD_SCHEDULED: i32 = 0b110;
    // As pthread_getcpuclockid(3) makes it. 0 would be the caller's own, and so would be a number that has no room.
    let tid = i32::try_from(tid).ok().filter(|&tid| 0 < tid && tid < 1 << 28)?;
    let clock = !tid << 3 | THREAD_SCHEDULED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes to the one place that it is given, and refuses a clock that there is not.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    (read == 0).then(|| seconds * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    #[test]
    fn what_a_running_thread_ran_is_counted_until_now() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let own = || {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap()
        };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(30) {
            let (before, ran, after) = (own(), scheduled(tid).unwrap().ran_ns, own());
            assert!((before..=after).contains(&ran), "{before} to {after}: {ran}");
        }
    }

    #[test]
    fn each_thread_has_a_time_of_its_own() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
            ended.recv().unwrap_err();
        });
        let tid = told.recv().unwrap();
        while !crate::stack::is_waiting(tid).unwrap() {
            std::thread::yield_now();
        }
        let before = scheduled(tid).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        assert_eq!(scheduled(tid).unwrap(), before, "it has waited");
        drop(end);
        thread.join().unwrap();
        for none in [0, tid, 1 << 28, 1 << 30, u32::MAX] {
            assert_eq!(ran_ns(none), None, "{none}");
        }
    }
}
