//! The service's side of a query in a process of its own: starts it, answers what it asks, and kills it. Separate from the
//! child's side because this one runs in the service.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::WORKER_ARGUMENT;
use super::pipe::{Broken, Patience, never_block, receive, send};
use super::wire::{Job, JobSkill, Said, Told, WireAnswer, arguments};
use crate::answer::Answer;
use crate::capture::Capture;
use crate::error::CallError;
use crate::sandbox::error::{QueryError, QueryErrorKind};
use crate::sandbox::limits::{GRACE, Limits};
use crate::sandbox::processors::leave_half;
use crate::sandbox::{Cost, Outcome, guard};

/// A child that does not outlive its query.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself; waiting for it leaves no zombie either way.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Evaluates `source` over `capture` in a process of its own; the caller waits.
pub(in crate::sandbox) fn run(
    source: &str,
    capture: &Arc<Capture>,
    limits: &Limits,
    is_cancelled: &AtomicBool,
) -> Result<Outcome, QueryError> {
    let patience = Patience { deadline: Instant::now() + limits.wall + GRACE, is_cancelled };
    // The process as well, which inherits it.
    leave_half();
    let mut child = start()?;
    let pipes = child.0.stdin.take().zip(child.0.stdout.take());
    let (mut input, mut output) = pipes.ok_or_else(|| ended(&mut child))?;
    never_block(&input).and_then(|()| never_block(&output)).map_err(|error| refused(&error.into()))?;

    let skill = |entry: &crate::registry::Entry| JobSkill {
        about: entry.about().clone(),
        functions: entry.functions().into_iter().cloned().collect(),
        absence: entry.absence().cloned(),
    };
    let skills = capture.registry().entries().map(skill).collect();
    let job = Job { source: source.to_owned(), limits: limits.clone(), at: capture.at(), skills };
    let broken = |child: &mut Killed, why: Broken| match why {
        Broken::Late => guard::late(limits),
        Broken::Cancelled => guard::cancelled(),
        Broken::Gone => ended(child),
    };
    // Answers of functions that are larger than the query's memory would not fit there.
    let most = limits.output_bytes.saturating_add(limits.printed_bytes).saturating_mul(8).saturating_add(1 << 20);
    let mut message = encoded(&job)?;
    let mut asked = BTreeSet::new();
    loop {
        send(&mut input, &message, patience).map_err(|why| broken(&mut child, why))?;
        let said = receive(&mut output, most, patience).map_err(|why| broken(&mut child, why))?;
        let said: Said = serde_json::from_slice(&said).map_err(|_| ended(&mut child))?;
        let told = match said {
            Said::Call { skill, function, positional, named } => {
                asked.insert(skill.clone());
                let answer = capture.call(&skill, &function, arguments(positional, named));
                Told::Answer(answer.and_then(|answer| fitting(&skill, &function, &answer, limits, is_cancelled)))
            }
            Said::Series { name, last } => {
                asked.extend(name.split_once('.').map(|(skill, _)| skill.to_owned()));
                Told::Series(Box::new(capture.series(&name, last)))
            }
            Said::Done(result) => {
                let given = result.map_err(QueryError::from)?;
                given.read_withheld.into_iter().for_each(|name| capture.note_withheld(name));
                return Ok(Outcome {
                    value: given.value,
                    columns: given.columns,
                    printed: given.printed,
                    cost: Cost {
                        elapsed: Duration::from_nanos(given.elapsed_ns),
                        steps: given.steps,
                        heap_bytes: given.heap_bytes,
                    },
                    touched: asked.into_iter().collect(),
                });
            }
        };
        message = encoded(&told)?;
    }
}

/// How many times a query's memory the rows of one answer may take in this process, where they are texts and trees, until
/// they are sent.
const ROWS_FACTOR: usize = 4;

/// An answer that is sent, unless it has more rows than a query may have, or larger ones than its process has room for.
fn fitting(
    skill: &str,
    function: &str,
    answer: &Answer,
    limits: &Limits,
    is_cancelled: &AtomicBool,
) -> Result<WireAnswer, CallError> {
    let too_large = |message| Err(CallError::TooLarge { message });
    match answer {
        Answer::Rows(table) if table.len() > limits.rows => {
            too_large(format!("`{skill}.{function}` gave {} rows; the limit is {} (`rows`)", table.len(), limits.rows))
        }
        answer => {
            let most = limits.heap_bytes.saturating_mul(ROWS_FACTOR);
            WireAnswer::of(answer, most, is_cancelled).map_or_else(
                || {
                    too_large(format!(
                        "the rows of `{skill}.{function}` take more than {} MiB, the limit of a query in a process of its \
                         own (four times `heap_bytes`)",
                        most >> 20
                    ))
                },
                Ok,
            )
        }
    }
}

fn start() -> Result<Killed, QueryError> {
    // The program as it was started, even if its file was replaced meanwhile.
    Command::new("/proc/self/exe")
        .arg(WORKER_ARGUMENT)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map(Killed)
        .map_err(|error| refused(&error))
}

fn encoded(message: &impl serde::Serialize) -> Result<Vec<u8>, QueryError> {
    let why = |error| {
        QueryError::new(QueryErrorKind::Internal, format!("the query's process cannot be told: {error}"))
            .help("this is a defect of lens or of a skill; please report it with the script")
    };
    serde_json::to_vec(message).map_err(why)
}

#[cold]
fn refused(error: &std::io::Error) -> QueryError {
    QueryError::new(QueryErrorKind::Overloaded, format!("no process can be started for the query: {error}"))
        .help("the process is at its limit of processes, files or memory; ask again later")
}

/// The child ended without an answer: what the guard did not stop, the kernel did.
#[cold]
fn ended(child: &mut Killed) -> QueryError {
    use std::os::unix::process::ExitStatusExt;
    let _ = child.0.kill();
    let how = match child.0.wait() {
        Ok(status) => match status.signal() {
            Some(signal) => format!("by signal {signal}"),
            None => status.to_string(),
        },
        Err(error) => error.to_string(),
    };
    QueryError::new(QueryErrorKind::Limit, format!("the query's process ended without an answer ({how})"))
        .help("it went past a limit of the kernel's; keep fewer values at once, and report the script")
}
