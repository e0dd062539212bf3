//! The threads that lens owns. Separate because lens must know what they cost: whoever starts one does it here, so that
//! its CPU time is counted while it lives and after it has ended.

use std::cell::Cell;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use crate::error::Error;
use crate::reading::{Reading, Unavailable};

static OWN: Mutex<Own> = Mutex::new(Own { living: Vec::new(), ended: Duration::ZERO });

thread_local! {
    /// Whether the thread is lens's own. Has no destructor, so it can be read until the thread is gone.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

struct Own {
    /// The kernel's ids of the threads that run.
    living: Vec<i32>,
    /// CPU time of those that have ended.
    ended: Duration,
}

fn own() -> std::sync::MutexGuard<'static, Own> {
    // Nothing panics while it is held.
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a thread of lens, with a stack of `stack_bytes` if that is given. `name` starts with `lens-` and has at most 15
/// letters, which is what the kernel keeps.
///
/// # Errors
///
/// The operating system refused.
pub fn spawn(
    name: &'static str,
    stack_bytes: Option<usize>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let mut builder = std::thread::Builder::new().name(name.to_owned());
    if let Some(bytes) = stack_bytes {
        builder = builder.stack_size(bytes);
    }
    builder
        .spawn(move || {
            let _counted = Counted::new();
            work();
        })
        .map_err(|source| Error::Thread { name, source })
}

/// Keeps the running thread in the list, and its CPU time after it.
struct Counted(i32);

impl Counted {
    fn new() -> Self {
        let tid = gettid().as_raw_nonzero().get();
        own().living.push(tid);
        IS_OWN.set(true);
        Self(tid)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut own = own();
        // No reading of the living can be later than this.
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(used.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(used.tv_nsec).unwrap_or_default();
        own.living.retain(|tid| *tid != self.0);
        own.ended += Duration::new(seconds, nanos);
    }
}

/// Whether the calling thread is one of lens's own.
#[inline]
#[must_use]
pub fn is_own() -> bool {
    IS_OWN.get()
}

/// How many threads lens runs now.
#[must_use]
pub fn count() -> usize {
    own().living.len()
}

/// The CPU time that lens's threads have used since the process started, those that have ended included.
///
/// Monotonic. Source: `/proc/self/task/TID/schedstat`. Cost: one small file a thread, for which a thread of lens that ends
/// waits.
///
/// # Errors
///
/// The kernel does not account for threads (`CONFIG_SCHED_INFO`), or this is no Linux.
pub fn cpu_time() -> Reading<Duration> {
    // A thread stays in the list, and in the system, until it has this lock.
    let own = own();
    let mut total = own.ended;
    for tid in &own.living {
        match fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")) {
            Ok(text) => {
                let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
                total += Duration::from_nanos(nanos.ok_or_else(|| Unavailable::failed("schedstat has no number"))?);
            }
            // The thread of a process that was forked is not there.
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && fs::exists("/proc/self/schedstat").unwrap_or(false) => {}
            Err(error) => {
                return Err(Unavailable::UnsupportedPlatform {
                    needs: format!("/proc/self/task/TID/schedstat ({error})").into(),
                });
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_time_never_goes_back_while_threads_end() {
        let busy = || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1) {
                std::hint::spin_loop();
            }
        };
        let starter = std::thread::spawn(move || {
            for _ in 0..200 {
                spawn("lens-test", None, busy).unwrap().join().unwrap();
            }
        });
        let mut before = Duration::ZERO;
        while !starter.is_finished() {
            let now = cpu_time().unwrap();
            assert!(now >= before, "{now:?} after {before:?}");
            before = now;
        }
        starter.join().unwrap();
    }

    #[test]
    fn the_time_of_a_thread_that_ended_stays_counted() {
        let before = cpu_time().unwrap();
        let busy = Duration::from_millis(50);
        assert!(!is_own());
        let thread = spawn("lens-test", None, move || {
            assert!(is_own());
            let own_time = || clock_gettime(ClockId::ThreadCPUTime);
            let start = own_time();
            let spent =
                |now: rustix::time::Timespec| (now.tv_sec - start.tv_sec) * 1_000_000_000 + now.tv_nsec - start.tv_nsec;
            let wanted = i64::try_from(busy.as_nanos()).unwrap();
            while spent(own_time()) < wanted {
                std::hint::spin_loop();
            }
        })
        .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while cpu_time().unwrap() - before < busy / 2 {
            assert!(Instant::now() < deadline, "the time of a living thread is counted");
            std::thread::yield_now();
        }
        thread.join().unwrap();
        assert!(cpu_time().unwrap() - before >= busy);
    }
}
