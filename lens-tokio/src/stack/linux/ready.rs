//! Keeps the kernel ready to sample running threads. Separate because it is for the next samples, and no sample itself.
//!
//! While no thread of the machine has an event, the kernel looks for none when it switches from thread to thread. Who opens
//! the first one waits until every processor has been through its scheduler, which takes one that computes up to 20 ms; any
//! other one is open after some microseconds. Keeping one makes every switch on the machine slower by some 60 ns, so it is
//! opened when a sample may soon be wanted, by a thread that can wait, and closed when none was wanted for a while.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use lens_core::{Reading, Unavailable};

use super::running::Event;

/// How long it is kept after it was wanted last.
const KEEP: Duration = Duration::from_secs(60);

/// How long the kernel may take. Nobody waits meanwhile but the stack.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// The stack of a thread that asks: it makes two system calls.
const ASKER_STACK: usize = 128 * 1024;

/// Whether the kernel is ready.
#[derive(Debug)]
pub(super) struct Ready {
    state: State,
    /// When it was wanted last.
    wanted: Instant,
    /// What the kernel answered last.
    answer: Reading<()>,
}

#[derive(Debug)]
enum State {
    Not,
    Asking { told: Receiver<Reading<Event>>, since: Instant },
    Kept(#[expect(dead_code, reason = "it is there")] Event),
}

impl Ready {
    pub(super) fn new() -> Self {
        let until = "the system has answered, some milliseconds".into();
        Self { state: State::Not, wanted: Instant::now(), answer: Err(Unavailable::NotYet { until }) }
    }

    /// Has the kernel made ready, if it is not: by the event of the thread that calls, which is to live as long as this.
    pub(super) fn want(&mut self) {
        self.wanted = Instant::now();
        let State::Not = self.state else { return };
        let (tell, told) = channel();
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        // Whoever does not want it any more has dropped the receiver, and the event goes with it.
        let ask = move || drop(tell.send(Event::of(tid)));
        match lens_core::threads::spawn("lens-sampler", Some(ASKER_STACK), ask) {
            Ok(_) => self.state = State::Asking { told, since: self.wanted },
            Err(error) => self.answer = Err(Unavailable::failed(error.to_string())),
        }
    }

    /// Whether it is ready; `None` while the kernel is asked.
    ///
    /// # Errors
    ///
    /// The kernel does not allow it, and the reason says what would; or it does not answer.
    pub(super) fn poll(&mut self) -> Option<Reading<()>> {
        if let State::Asking { told, since } = &self.state {
            let answer = match told.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) if since.elapsed() < ANSWER_DEADLINE => return None,
                Err(TryRecvError::Empty) => Err(Unavailable::failed(format!(
                    "the system has not answered perf_event_open in {ANSWER_DEADLINE:?}"
                ))),
                Err(TryRecvError::Disconnected) => Err(Unavailable::failed("the thread lens-sampler has ended")),
            };
            (self.state, self.answer) = match answer {
                Ok(event) => (State::Kept(event), Ok(())),
                Err(reason) => (State::Not, Err(reason)),
            };
        }
        Some(self.answer.clone())
    }

    /// Gives up what was not wanted for a minute; says what the kernel answered last.
    ///
    /// # Errors
    ///
    /// As of [`poll`](Self::poll), and that it was not asked or has yet to answer.
    pub(super) fn rest(&mut self) -> Reading<()> {
        let _ = self.poll();
        if self.wanted.elapsed() > KEEP && matches!(self.state, State::Kept(_)) {
            self.state = State::Not;
        }
        self.answer.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(ready: &mut Ready) -> Reading<()> {
        loop {
            if let Some(answer) = ready.poll() {
                return answer;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_is_kept_for_a_minute_after_it_was_wanted() {
        let mut ready = Ready::new();
        assert_eq!(ready.rest().unwrap_err().code(), "not_yet");
        ready.want();
        let Ok(()) = answer(&mut ready) else { return };
        assert!(matches!(ready.state, State::Kept(_)));
        assert_eq!(ready.rest(), Ok(()));
        assert!(matches!(ready.state, State::Kept(_)));
        ready.wanted = Instant::now().checked_sub(KEEP + Duration::from_millis(1)).unwrap();
        assert_eq!(ready.rest(), Ok(()), "it would be ready again");
        assert!(matches!(ready.state, State::Not));
        ready.want();
        assert_eq!(answer(&mut ready), Ok(()));
        assert!(matches!(ready.state, State::Kept(_)));
    }

    #[test]
    fn a_kernel_that_does_not_answer_is_a_reason() {
        let mut ready = Ready::new();
        let (tell, told) = channel();
        let since = Instant::now().checked_sub(ANSWER_DEADLINE).unwrap();
        ready.state = State::Asking { told, since };
        let reason = ready.poll().unwrap().unwrap_err();
        assert_eq!(reason.to_string(), "the system has not answered perf_event_open in 1s");
        assert!(matches!(ready.state, State::Not), "it is asked anew when it is wanted");
        drop(tell);
    }
}
