//! Keeps the system ready to sample running threads. Separate because it is for the next samples, and no sample itself.
//!
//! While no thread of a Linux machine has an event, its kernel looks for none when it switches from thread to thread. Who
//! opens the first one waits until every processor has been through its scheduler, which takes one that computes up to 20 ms;
//! any other one is open after some microseconds. Keeping one makes every switch on the machine slower by some 60 ns, so it
//! is opened when a sample may soon be wanted, by a thread that can wait, and closed when none was wanted for a minute.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use lens_core::{Reading, Unavailable};

use super::platform::Event;

/// How long it is kept after it was wanted last, and after how long a system that has refused is asked again.
const KEEP: Duration = Duration::from_secs(60);

/// After how long a system that has failed is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// How long the system may take. Nobody waits meanwhile but the stack.
const DEADLINE: Duration = Duration::from_secs(1);

/// The stack of a thread that asks: it makes two system calls.
const ASKER_STACK: usize = 128 * 1024;

/// Whether the system is ready, for the thread that looks: what is kept is an event of that one.
#[derive(Debug)]
pub(crate) struct Ready<K = Event> {
    ask: fn(u32) -> Reading<K>,
    deadline: Duration,
    state: State<K>,
    /// When it was asked, and when it was wanted last.
    asked: Option<Instant>,
    wanted: Instant,
    /// What the system answered last.
    answer: Reading<()>,
}

#[derive(Debug)]
enum State<K> {
    Not,
    /// There is one thread that asks at a time: it is waited for, however late it is.
    Asking {
        told: Receiver<Reading<K>>,
        is_late: bool,
    },
    Kept(K),
}

impl Ready {
    pub(crate) fn new() -> Self {
        Self::by(Event::of, DEADLINE)
    }
}

impl<K: Send + 'static> Ready<K> {
    fn by(ask: fn(u32) -> Reading<K>, deadline: Duration) -> Self {
        let until = "the system has answered, some milliseconds".into();
        let answer = Err(Unavailable::NotYet { until });
        Self { ask, deadline, state: State::Not, asked: None, wanted: Instant::now(), answer }
    }

    /// Has the system made ready, if it is not, and says whether it is; `None` while it is asked.
    ///
    /// # Errors
    ///
    /// It does not allow it, and the reason says what would; or it does not answer. Neither is asked again at once.
    pub(crate) fn get(&mut self) -> Option<Reading<()>> {
        self.wanted = Instant::now();
        self.hear();
        if matches!(self.state, State::Not) && !self.is_resting() {
            self.start();
        }
        match &self.state {
            State::Kept(_) => Some(Ok(())),
            State::Asking { is_late: false, .. } => None,
            State::Asking { .. } | State::Not => Some(self.answer.clone()),
        }
    }

    /// Gives up what was not wanted for a minute, and asks a system that has refused or failed then again.
    pub(crate) fn release_unused(&mut self) {
        let is_old = |asked: Instant| asked.elapsed() > KEEP;
        self.hear();
        match self.state {
            State::Kept(_) if self.wanted.elapsed() > KEEP => self.state = State::Not,
            State::Not if self.answer.is_err() && !self.is_resting() && self.asked.is_some_and(is_old) => self.start(),
            _ => {}
        }
    }

    /// What the system answered last, whether it is ready now or not.
    ///
    /// # Errors
    ///
    /// As of [`get`](Self::get); or it was not asked yet.
    pub(crate) fn reading(&self) -> Reading<()> {
        self.answer.clone()
    }

    /// The system has refused a sample though it was ready: what it allows has changed.
    pub(crate) fn lost(&mut self, reason: Unavailable) {
        (self.state, self.asked, self.answer) = (State::Not, Some(Instant::now()), Err(reason));
    }

    fn start(&mut self) {
        let (tell, told) = channel();
        let (ask, tid) = (self.ask, crate::threads::own_id());
        // Whoever does not want it any more has dropped the receiver, and the event goes with it.
        let asker = move || drop(tell.send(ask(tid)));
        self.asked = Some(Instant::now());
        match lens_core::threads::spawn("lens-sampler", Some(ASKER_STACK), asker) {
            Ok(_) => self.state = State::Asking { told, is_late: false },
            Err(error) => self.answer = Err(Unavailable::failed(error.to_string())),
        }
    }

    fn hear(&mut self) {
        let State::Asking { told, is_late } = &mut self.state else { return };
        let answer = match told.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => {
                if self.asked.is_some_and(|asked| asked.elapsed() >= self.deadline) {
                    *is_late = true;
                    let what = format!("the system has not answered perf_event_open in {:?}", self.deadline);
                    self.answer = Err(Unavailable::failed(what));
                }
                return;
            }
            Err(TryRecvError::Disconnected) => Err(Unavailable::failed("the thread lens-sampler has ended")),
        };
        (self.state, self.answer) = match answer {
            Ok(kept) => (State::Kept(kept), Ok(())),
            Err(reason) => (State::Not, Err(reason)),
        };
    }

    fn is_resting(&self) -> bool {
        let rest = match &self.answer {
            Ok(()) | Err(Unavailable::NotYet { .. }) => Duration::ZERO,
            Err(Unavailable::Failed { .. }) => RETRY,
            Err(Unavailable::UnsupportedPlatform { .. }) => Duration::MAX,
            Err(_) => KEEP,
        };
        self.asked.is_some_and(|asked| asked.elapsed() < rest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// One that waits for the system however busy the machine is.
    fn patient<K: Send + 'static>(ask: fn(u32) -> Reading<K>) -> Ready<K> {
        Ready::by(ask, Duration::MAX)
    }

    fn answer<K: Send + 'static>(ready: &mut Ready<K>) -> Reading<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(answer) = ready.get() {
                return answer;
            }
            assert!(Instant::now() < deadline, "it should answer");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time + Duration::from_millis(1)).unwrap()
    }

    #[test]
    fn it_is_kept_for_a_minute_after_it_was_wanted() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let mut ready = patient(|_| Ok(ASKED.fetch_add(1, Ordering::Relaxed)));
        assert_eq!(ready.reading().unwrap_err().code(), "not_yet");
        assert_eq!(answer(&mut ready), Ok(()));
        ready.release_unused();
        assert!(matches!(ready.state, State::Kept(0)), "{ready:?}");
        ready.wanted = ago(KEEP);
        ready.release_unused();
        assert!(matches!(ready.state, State::Not), "{ready:?}");
        assert_eq!(ready.reading(), Ok(()), "it would be ready again");
        assert_eq!(answer(&mut ready), Ok(()));
        assert!(matches!(ready.state, State::Kept(1)), "{ready:?}");
    }

    #[test]
    fn a_system_that_has_refused_is_asked_again_after_a_minute() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let mut ready = patient::<()>(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Err(Unavailable::NotEnabled { how: "allow it".into() })
        });
        for _ in 0..100 {
            assert_eq!(answer(&mut ready).unwrap_err().code(), "not_enabled");
            ready.release_unused();
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        ready.asked = Some(ago(KEEP));
        ready.release_unused();
        assert_eq!(answer(&mut ready).unwrap_err().code(), "not_enabled");
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_system_that_has_failed_is_asked_again_after_a_second() {
        let mut ready = patient::<()>(|_| Err(Unavailable::failed("no descriptor is left")));
        assert_eq!(answer(&mut ready).unwrap_err().code(), "failed");
        ready.ask = |_| Ok(());
        ready.asked = Some(Instant::now() + RETRY);
        assert_eq!(answer(&mut ready).unwrap_err().code(), "failed", "not at once");
        ready.asked = Some(ago(RETRY));
        assert_eq!(answer(&mut ready), Ok(()));
    }

    #[test]
    fn an_answer_that_is_late_is_taken_all_the_same_and_not_asked_for_twice() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        static BUSY: Mutex<()> = Mutex::new(());
        let busy = BUSY.lock().unwrap();
        let mut ready = patient(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            drop(BUSY.lock());
            Ok(())
        });
        assert_eq!(ready.get(), None);
        (ready.deadline, ready.asked) = (DEADLINE, Some(ago(DEADLINE)));
        for _ in 0..100 {
            let reason = ready.get().unwrap().unwrap_err();
            assert_eq!(reason.to_string(), "the system has not answered perf_event_open in 1s");
        }
        drop(busy);
        while answer(&mut ready).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_the_system_allows_no_more_is_said_until_it_is_asked_again() {
        let mut ready = patient(|_| Ok(()));
        assert_eq!(answer(&mut ready), Ok(()));
        ready.lost(Unavailable::NotEnabled { how: "allow it".into() });
        assert_eq!(
            (ready.reading().unwrap_err().code(), answer(&mut ready).unwrap_err().code()),
            ("not_enabled", "not_enabled")
        );
        ready.asked = Some(ago(KEEP));
        assert_eq!(answer(&mut ready), Ok(()));
    }

    #[test]
    fn a_platform_that_has_no_samples_is_asked_once() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let mut ready = patient::<()>(|_| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Err(Unavailable::UnsupportedPlatform { needs: "another".into() })
        });
        for _ in 0..3 {
            assert_eq!(answer(&mut ready).unwrap_err().code(), "unsupported_platform");
            ready.asked = Some(ago(KEEP));
            ready.release_unused();
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn this_system_is_ready_or_says_what_would_allow_it() {
        let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
        let is_allowed = paranoid.trim().parse::<i32>().unwrap() < 3;
        if let Err(reason) = answer(&mut patient(Event::of)) {
            assert_eq!((reason.code(), is_allowed), ("not_enabled", false), "{reason}");
        }
    }
}
