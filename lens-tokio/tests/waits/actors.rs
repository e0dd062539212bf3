//! Tasks that lock and release what they are told to.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;

use super::model::Lock;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// What an actor is told. Guards and branches are numbered by their age.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Acquire { lock: usize, permits: u32 },
    Try { lock: usize, permits: u32 },
    Release { guard: usize },
    Downgrade { guard: usize },
    Cancel { branch: usize },
    Abort,
}

#[expect(dead_code, reason = "guards are there to be dropped")]
enum Guard {
    Mutex(MutexGuard<'static, ()>),
    Read(RwLockReadGuard<'static, ()>),
    Write(RwLockWriteGuard<'static, ()>),
    Permits(SemaphorePermit<'static>),
}

type Branch = Pin<Box<dyn Future<Output = Guard> + Send>>;

static PLACES: OnceLock<Vec<String>> = OnceLock::new();

/// The locks of all schedules: two of each kind.
pub(crate) fn locks() -> &'static [Lock] {
    const READERS: u32 = 3;
    let place = |line, column| format!("{}:{line}:{column}", file!());
    // Each lock in a line of its own, so that its place is its name.
    let (locks, places): (Vec<Lock>, Vec<String>) = [
        (Lock::Exclusive(leak(Mutex::new(()))), place(line!(), 31)),
        (Lock::Exclusive(leak(Mutex::new(()))), place(line!(), 31)),
        (Lock::Shared(leak(RwLock::with_max_readers((), READERS)), READERS), place(line!(), 28)),
        (Lock::Shared(leak(RwLock::with_max_readers((), READERS)), READERS), place(line!(), 28)),
        (Lock::Counted(leak(Semaphore::new(3)), 3), place(line!(), 29)),
        (Lock::Counted(leak(Semaphore::new(5)), 5), place(line!(), 29)),
    ]
    .into_iter()
    .unzip();
    PLACES.get_or_init(|| places);
    Vec::leak(locks)
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// The lock that was created at a place.
pub(crate) fn lock_at(place: &str) -> usize {
    PLACES.get().unwrap().iter().position(|known| known == place).unwrap_or_else(|| panic!("no lock at {place}"))
}

/// Tasks, each with an ear.
pub(crate) struct Actors(Vec<(JoinHandle<()>, UnboundedSender<Command>, u64)>);

impl Actors {
    pub(crate) fn spawn(locks: &'static [Lock]) -> Self {
        const COUNT: usize = 4;
        let spawn = |_| {
            // Nothing is told about an unbounded channel, so the actors don't wait for their commands.
            let (mouth, ear) = unbounded_channel();
            let task = tokio::spawn(act(locks, ear));
            let id = task.id().to_string().parse().unwrap();
            (task, mouth, id)
        };
        Self((0..COUNT).map(spawn).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The actor that is the task with that id.
    pub(crate) fn index(&self, task: u64) -> Option<usize> {
        self.0.iter().position(|(_, _, id)| *id == task)
    }

    /// Has an actor obey, and everybody do what follows from it.
    pub(crate) async fn obey(&mut self, actor: usize, command: Command) {
        let (task, mouth, _) = &self.0[actor];
        match command {
            Command::Abort => task.abort(),
            command => mouth.send(command).unwrap(),
        }
        settle().await;
    }

    pub(crate) async fn end(self) {
        for (task, _, _) in &self.0 {
            task.abort();
        }
        settle().await;
    }
}

/// On one thread, every task that was woken has run by then, and those that it woke.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

async fn act(locks: &'static [Lock], mut ear: UnboundedReceiver<Command>) {
    let mut guards: Vec<Guard> = Vec::new();
    let mut branches: Vec<Branch> = Vec::new();
    poll_fn(move |context| {
        // A guard that was handed over is older than what a command of now acquires.
        loop {
            branches.retain_mut(|branch| match branch.as_mut().poll(context) {
                Poll::Ready(guard) => {
                    guards.push(guard);
                    false
                }
                Poll::Pending => true,
            });
            match ear.poll_recv(context) {
                Poll::Ready(Some(command)) => obey(locks, command, &mut guards, &mut branches),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

fn obey(locks: &[Lock], command: Command, guards: &mut Vec<Guard>, branches: &mut Vec<Branch>) {
    match command {
        Command::Acquire { lock, permits } => branches.push(match locks[lock] {
            Lock::Exclusive(mutex) => Box::pin(async { Guard::Mutex(mutex.lock().await) }),
            Lock::Shared(lock, all) if permits == all => Box::pin(async { Guard::Write(lock.write().await) }),
            Lock::Shared(lock, _) => Box::pin(async { Guard::Read(lock.read().await) }),
            Lock::Counted(semaphore, _) => {
                Box::pin(async move { Guard::Permits(semaphore.acquire_many(permits).await.unwrap()) })
            }
        }),
        Command::Try { lock, permits } => guards.extend(match locks[lock] {
            Lock::Exclusive(mutex) => mutex.try_lock().ok().map(Guard::Mutex),
            Lock::Shared(lock, all) if permits == all => lock.try_write().ok().map(Guard::Write),
            Lock::Shared(lock, _) => lock.try_read().ok().map(Guard::Read),
            Lock::Counted(..) => unreachable!("tokio does not tell about it"),
        }),
        Command::Release { guard } => drop(guards.remove(guard)),
        Command::Downgrade { guard } => {
            let Guard::Write(writer) = guards.remove(guard) else { unreachable!("the model chose a writer") };
            guards.insert(guard, Guard::Read(writer.downgrade()));
        }
        Command::Cancel { branch } => drop(branches.remove(branch)),
        Command::Abort => unreachable!("it is done from outside"),
    }
}
