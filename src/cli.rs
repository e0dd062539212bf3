//! The command `lens`: asks a running service, or a capture that it saved, from a terminal. Separate because a service
//! never needs it: it is a client like any other.
//!
//! | exit code | means |
//! |---|---|
//! | 0 | there is an answer |
//! | 1 | the query is wrong, went past a limit or asked for what is unavailable |
//! | 2 | the command is wrong, or a file cannot be read |
//! | 3 | the service cannot be reached, or refuses |

mod complete;
mod repl;
mod show;
mod target;

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::builder::TOKEN_VARIABLE;
use target::{Failure, Local, Remote, Target};

/// Asks a service that has lens in it what it is doing, and why.
#[derive(Debug, Parser)]
#[command(name = "lens", version, args_conflicts_with_subcommands = true, after_help = AFTER)]
struct Command {
    #[command(subcommand)]
    asked: Option<Asked>,
    #[command(flatten)]
    service: Service,
}

const AFTER: &str = "\
Without a subcommand, `lens [URL]` reads queries line by line, with history and completion.

Exit codes: 0 an answer, 1 a wrong or failed query, 2 a wrong command or file, 3 no service.";

#[derive(Debug, Subcommand)]
enum Asked {
    /// Asks a running service one query: of -e, of a file, or of the standard input
    Query {
        #[command(flatten)]
        script: Script,
        #[command(flatten)]
        service: Service,
    },
    /// Asks a saved capture instead of a service; without a query, line by line
    Open {
        #[command(flatten)]
        script: Script,
        /// What `GET /debug/lens/capture` gave
        capture: PathBuf,
    },
    /// Asks a service with console-subscriber, which needs no lens; without a query, line by line
    #[cfg(feature = "console")]
    Console {
        #[command(flatten)]
        script: Script,
        /// Where its console server is
        #[arg(default_value = "127.0.0.1:6669")]
        address: String,
    },
}

#[derive(Debug, Args)]
struct Script {
    /// The query itself
    #[arg(short = 'e', long = "script", value_name = "SCRIPT", conflicts_with = "file")]
    text: Option<String>,
    /// A file with the query
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Says what is wrong with the query, and does not run it
    #[arg(long)]
    check: bool,
    /// How the answer is shown; a table on a terminal, else JSON
    #[arg(long, value_enum)]
    format: Option<Shape>,
}

#[derive(Debug, Args)]
struct Service {
    /// Where lens is: a host, a port or both will do
    #[arg(default_value = "http://127.0.0.1:6670/debug/lens")]
    url: String,
    /// The token of a service that is not on this machine
    #[arg(long, env = TOKEN_VARIABLE, hide_env_values = true)]
    token: Option<OsString>,
}

impl Service {
    fn remote(self) -> Result<Remote, Failure> {
        let no_text =
            |_| Failure::Command(format!("the token, of --token or {TOKEN_VARIABLE}, is not UTF-8 text; give another"));
        let token = self.token.map(OsString::into_string).transpose().map_err(no_text)?;
        Remote::new(&self.url, token)
    }
}

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Rows as a table.
    Table,
    /// JSON.
    Json,
}

impl Shape {
    /// For eyes on a terminal, for programs in a pipe.
    fn of_output() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Json }
    }
}

/// Runs the command with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show::note(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let is_asked_here = std::io::stdin().is_terminal();
    match command.asked {
        Some(Asked::Query { script, service }) => {
            let text = script.read(is_asked_here)?;
            let target = service.remote()?;
            match text {
                Some(text) => once(&target, &text, &script),
                None => repl::run(&target, &target.name()),
            }
        }
        Some(Asked::Open { script, capture }) => {
            let text = script.read(is_asked_here)?;
            let target = Local::open(&capture)?;
            match text {
                Some(text) => once(&target, &text, &script),
                None => repl::run(&target, &capture.display().to_string()),
            }
        }
        #[cfg(feature = "console")]
        Some(Asked::Console { script, address }) => {
            let text = script.read(is_asked_here)?;
            let target = Local::console(&address)?;
            match text {
                Some(text) => once(&target, &text, &script),
                None => repl::run(&target, &address),
            }
        }
        None => {
            let target = command.service.remote()?;
            if is_asked_here {
                return repl::run(&target, &target.name());
            }
            let script = Script { text: None, file: None, check: false, format: None };
            let text = script.read(is_asked_here)?.unwrap_or_default();
            once(&target, &text, &script)
        }
    }
}

fn once(target: &dyn Target, text: &str, script: &Script) -> Result<(), Failure> {
    let shape = script.format.unwrap_or_else(Shape::of_output);
    if script.check {
        let wrong = target.check(text)?;
        if !wrong.is_empty() {
            return Err(Failure::Query(wrong.join("\n\n")));
        }
        return Ok(());
    }
    show::answer(&target.ask(text)?, shape);
    Ok(())
}

impl Script {
    /// The query: what an argument says, or the standard input. Where it `is_asked_here`, on a terminal, there may be none,
    /// and queries are to be read line by line; one that is only checked is read all the same.
    fn read(&self, is_asked_here: bool) -> Result<Option<String>, Failure> {
        let (text, whence) = if let Some(text) = &self.text {
            (text.clone(), "-e".to_owned())
        } else if let Some(file) = &self.file {
            let why = |error| Failure::Command(format!("{} cannot be read: {error}", file.display()));
            (std::fs::read_to_string(file).map_err(why)?, file.display().to_string())
        } else if is_asked_here && !self.check {
            return Ok(None);
        } else {
            let mut text = String::new();
            let why = |error| Failure::Command(format!("the standard input cannot be read: {error}"));
            std::io::stdin().read_to_string(&mut text).map_err(why)?;
            (text, "the standard input".to_owned())
        };
        if text.trim().is_empty() {
            return Err(Failure::Command(format!("there is no query: {whence} is empty")));
        }
        Ok(Some(text))
    }
}
