//! The process that runs one query. Separate from the parent's side because nothing here runs in the service.

use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{Given, Job, MAX_MESSAGE_BYTES, Said, Told};
use crate::answer::Answer;
use crate::capture::Capture;
use crate::error::CallError;
use crate::reading::Unavailable;
use crate::recorder::{History, SavedHistory, Series, SeriesReference};
use crate::registry::{Ask, RegistryBuilder};
use crate::sandbox::guard;
use crate::sandbox::limits::STACK_BYTES;
use crate::signature::Arguments;
use crate::time::Span;

/// Address space beside what the program has mapped when it starts: for the query's values, which its own meter limits,
/// and for what is read of skills.
const SPARE_BYTES: u64 = 768 << 20;

/// Processor time in whole seconds that a query may need beside its limit of time.
const SPARE_SECONDS: u64 = 2;

/// Runs the one query that the parent sends, and ends the process.
pub(super) fn serve() -> ! {
    // A process that cannot be limited runs nothing.
    let code = if limit().is_ok() && answer().is_some() { 0 } else { 1 };
    std::process::exit(code);
}

/// What the kernel allows this process from now on.
fn limit() -> rustix::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    let set = |resource, bytes: u64| {
        rustix::process::setrlimit(resource, Rlimit { current: Some(bytes), maximum: Some(bytes) })
    };
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    let mapped = pages.saturating_mul(rustix::param::page_size() as u64);
    set(Resource::As, mapped + STACK_BYTES as u64 + SPARE_BYTES)?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    // The three that are open already, and nothing more.
    set(Resource::Nofile, 3)
}

fn answer() -> Option<()> {
    let line = Arc::new(Line(Mutex::new(())));
    let job: Job = hear()?;
    let seconds = job.limits.wall.as_secs() + 1 + SPARE_SECONDS;
    let cpu = Rlimit { current: Some(seconds), maximum: Some(seconds) };
    rustix::process::setrlimit(Resource::Cpu, cpu).ok()?;
    let mut registry = RegistryBuilder::new();
    for skill in job.skills {
        let added = match skill.absence {
            Some(reason) if skill.functions.is_empty() => registry.absent(skill.about, reason),
            _ => registry.remote(skill.about, skill.functions, Arc::clone(&line) as Arc<dyn Ask>),
        };
        added.ok()?;
    }
    let history = Arc::clone(&line) as Arc<dyn History>;
    let capture = Arc::new(Capture::remote(job.at, Arc::new(registry.build()), history));
    let limits = Arc::new(job.limits);
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        guard::evaluate_source(&job.source, &capture, &limits, &Arc::new(AtomicBool::new(false)), |result| {
            let given = result.map(|outcome| Given {
                value: outcome.value,
                columns: outcome.columns,
                printed: outcome.printed,
                elapsed_ns: u64::try_from(outcome.cost.elapsed.as_nanos()).unwrap_or(u64::MAX),
                steps: outcome.cost.steps,
                heap_bytes: outcome.cost.heap_bytes,
                read_withheld: super::wire::read_withheld(),
            });
            let is_said = say(&Said::Done(given.map_err(Into::into))).is_some();
            // The values need not be dropped one by one.
            std::process::exit(if is_said { 0 } else { 1 });
        });
    });
    thread.ok()?.join().ok()
}

/// The way to the parent and back; one question at a time.
struct Line(Mutex<()>);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    fn ask(&self, said: &Said) -> Result<Told, CallError> {
        let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = say(said).and_then(|()| hear());
        told.ok_or_else(|| CallError::Unavailable {
            subject: "the service".to_owned(),
            reason: Unavailable::failed("it does not answer the query's process"),
        })
    }
}

fn say(said: &impl Serialize) -> Option<()> {
    let text = serde_json::to_vec(said).ok()?;
    let mut output = std::io::stdout().lock();
    output.write_all(&u32::try_from(text.len()).ok()?.to_le_bytes()).ok()?;
    output.write_all(&text).ok()?;
    output.flush().ok()
}

fn hear<T: DeserializeOwned>() -> Option<T> {
    let mut input = std::io::stdin().lock();
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_le_bytes(length)).ok().filter(|length| *length <= MAX_MESSAGE_BYTES)?;
    let mut text = vec![0; length];
    input.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

impl Ask for Line {
    fn call(&self, skill: &str, function: &str, arguments: Arguments) -> Result<Answer, CallError> {
        let Arguments { positional, named, .. } = arguments;
        match self.ask(&Said::Call { skill: skill.to_owned(), function: function.to_owned(), positional, named })? {
            Told::Answer(answer) => answer.map(super::wire::WireAnswer::into_answer),
            Told::Series(_) => Err(confused()),
        }
    }
}

impl History for Line {
    fn series(&self, name: &str, last: Span) -> Result<Series, CallError> {
        match self.ask(&Said::Series { name: name.to_owned(), last })? {
            Told::Series(series) => *series,
            Told::Answer(_) => Err(confused()),
        }
    }

    fn list(&self) -> Vec<SeriesReference> {
        Vec::new()
    }

    fn save(&self) -> SavedHistory {
        SavedHistory::default()
    }
}

fn confused() -> CallError {
    CallError::Unavailable {
        subject: "the service".to_owned(),
        reason: Unavailable::failed("it answered another question"),
    }
}
