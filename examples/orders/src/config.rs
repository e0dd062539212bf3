//! How the service is started: flags and environment variables. Separate because it can be read without starting
//! anything.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// What `--help` prints.
pub const HELP: &str = "\
An orders service that lens explains.

Usage: orders [--load N] [--pattern PATTERN] [--faults]

Options:
  --load N    Give the service N requests a second of its own, over loopback (1 to 5000)
  --pattern PATTERN
              How a healthy service behaves [default: steady]
              steady      requests come evenly
              bursty      all requests of five seconds come in one
              saturated   all processors are busy with work that yields in time
              slow-start  it warms up for ten seconds before it listens
  --faults    Open /faults: GET lists what can go wrong, POST /faults/{name} starts it,
              DELETE /faults/{name} ends it. Never use this in production
  -h, --help  Print this

Environment:
  ORDERS_ADDR  Where to listen [default: 127.0.0.1:3000]; port 0 takes a free one
  ORDERS_LOG   The log's level on stderr: off, error, warn, info, debug or trace [default: info]
  LENS_ADDR    Where lens listens, if it is compiled in [default: 127.0.0.1:6670]
  LENS_MODEL   A language model that lens may ask, such as anthropic/claude-haiku-4-5, with
               its provider's key in ANTHROPIC_API_KEY and the like; LENS_MODEL_URL and
               others are in the docs of lens::models
";

/// Where the service listens unless `ORDERS_ADDR` says otherwise.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3000);

/// Where lens listens unless `LENS_ADDR` says otherwise.
pub const DEFAULT_LENS_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6670);

/// The most requests a second that `--load` gives.
pub const MAX_LOAD: u32 = 5_000;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run(Config),
    /// Print [`HELP`].
    Help,
}

/// How a healthy service behaves: none of these is a fault, and lens must not take it for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pattern {
    /// Requests come evenly.
    #[default]
    Steady,
    /// All requests of some seconds come in one.
    Bursty,
    /// All processors are busy with work that yields in time.
    Saturated,
    /// It warms up for a while before it listens.
    SlowStart,
}

/// How to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub address: SocketAddr,
    /// Where lens listens, if it is compiled in.
    pub lens_address: SocketAddr,
    /// Requests a second that the service gives itself; 0 is none.
    pub load: u32,
    /// How the service behaves.
    pub pattern: Pattern,
    /// Whether `/faults` is open.
    pub faults: bool,
    /// From which level events are logged.
    pub log: LevelFilter,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS,
            lens_address: DEFAULT_LENS_ADDRESS,
            load: 0,
            pattern: Pattern::Steady,
            faults: false,
            log: LevelFilter::INFO,
        }
    }
}

impl Config {
    /// Sends the process's log to stderr. The service goes on if nobody reads it any more.
    pub fn start_log(&self) {
        let log = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(io::stderr)
            .log_internal_errors(false)
            .with_filter(self.log);
        let registry = tracing_subscriber::registry().with(log);
        // The filter above is the log's own: lens has to see more than is written.
        #[cfg(feature = "lens")]
        let registry = registry.with(lens::logs_layer()).with(lens::waits_layer());
        registry.init();
    }
}

/// Why the command line or the environment was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Reads the arguments (without the program's name) and the environment.
///
/// # Errors
///
/// What was not understood.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Usage> {
    let mut config = Config::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--faults") => config.faults = true,
            Some("--load") => config.load = load(arguments.next().as_deref())?,
            Some(flag) if flag.starts_with("--load=") => config.load = load(Some(OsStr::new(&flag[7..])))?,
            Some("--pattern") => config.pattern = pattern(arguments.next().as_deref())?,
            Some(flag) if flag.starts_with("--pattern=") => config.pattern = pattern(Some(OsStr::new(&flag[10..])))?,
            _ => return Err(Usage(format!("unknown argument `{}`", argument.display()))),
        }
    }
    let read = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(value) = read("ORDERS_ADDR") {
        config.address = address("ORDERS_ADDR", &value)?;
    }
    if let Some(value) = read("LENS_ADDR") {
        config.lens_address = address("LENS_ADDR", &value)?;
    }
    if let Some(value) = read("ORDERS_LOG") {
        config.log = level(&value)?;
    }
    Ok(Command::Run(config))
}

fn load(value: Option<&OsStr>) -> Result<u32, Usage> {
    let Some(value) = value else {
        return Err(Usage("`--load` needs a number of requests a second".to_owned()));
    };
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|number| (1..=MAX_LOAD).contains(number));
    number.ok_or_else(|| Usage(format!("`--load {}` is not a whole number from 1 to {MAX_LOAD}", value.display())))
}

fn pattern(value: Option<&OsStr>) -> Result<Pattern, Usage> {
    const NAMES: &str = "steady, bursty, saturated and slow-start";
    let Some(value) = value else {
        return Err(Usage(format!("`--pattern` needs one of {NAMES}")));
    };
    match value.to_str() {
        Some("steady") => Ok(Pattern::Steady),
        Some("bursty") => Ok(Pattern::Bursty),
        Some("saturated") => Ok(Pattern::Saturated),
        Some("slow-start") => Ok(Pattern::SlowStart),
        _ => Err(Usage(format!("`--pattern {}` is none of {NAMES}", value.display()))),
    }
}

fn address(name: &str, value: &OsStr) -> Result<SocketAddr, Usage> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Usage(format!("{name}=`{}` is not an address and port such as 127.0.0.1:3000", value.display())))
}

fn level(value: &OsStr) -> Result<LevelFilter, Usage> {
    let named = value.to_str().filter(|text| text.chars().all(|letter| letter.is_ascii_alphabetic()));
    named.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Usage(format!("ORDERS_LOG=`{}` is none of off, error, warn, info, debug and trace", value.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Command, String> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        parse(arguments.iter().map(OsString::from), variable).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_gives_the_defaults() {
        assert_eq!(parsed(&[], &[("ORDERS_ADDR", "")]), Ok(Command::Run(Config::default())));
    }

    #[test]
    fn everything_said_is_kept() {
        let variables = [("ORDERS_ADDR", "[::1]:0"), ("LENS_ADDR", "127.0.0.1:7"), ("ORDERS_LOG", "debug")];
        let config = Config {
            address: "[::1]:0".parse().unwrap(),
            lens_address: "127.0.0.1:7".parse().unwrap(),
            load: 50,
            pattern: Pattern::SlowStart,
            faults: true,
            log: LevelFilter::DEBUG,
        };
        assert_eq!(
            parsed(&["--load", "50", "--faults", "--pattern", "slow-start"], &variables),
            Ok(Command::Run(config.clone()))
        );
        assert_eq!(parsed(&["--pattern=slow-start", "--faults", "--load=50"], &variables), Ok(Command::Run(config)));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(parsed(&["--fault"], &[]), Err("unknown argument `--fault`".to_owned()));
        assert_eq!(parsed(&["--load"], &[]), Err("`--load` needs a number of requests a second".to_owned()));
        let patterns = "steady, bursty, saturated and slow-start";
        assert_eq!(parsed(&["--pattern"], &[]), Err(format!("`--pattern` needs one of {patterns}")));
        assert_eq!(parsed(&["--pattern", "x"], &[]), Err(format!("`--pattern x` is none of {patterns}")));
        for number in ["0", "-1", "5001", "many", ""] {
            let expected = format!("`--load {number}` is not a whole number from 1 to 5000");
            assert_eq!(parsed(&["--load", number], &[]), Err(expected));
        }
        let expected = "ORDERS_ADDR=`localhost` is not an address and port such as 127.0.0.1:3000";
        assert_eq!(parsed(&[], &[("ORDERS_ADDR", "localhost")]), Err(expected.to_owned()));
        let expected = "ORDERS_LOG=`3` is none of off, error, warn, info, debug and trace";
        assert_eq!(parsed(&[], &[("ORDERS_LOG", "3")]), Err(expected.to_owned()));
    }
}
