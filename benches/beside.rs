//! What requests of a service wait for while scripts that never end run in it: the median and the 99th percentile of a
//! request's time, against the same service left alone, and against two processes that compute beside it.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens --bench beside [ROUNDS]`. One client asks one request at a time, with
//! pauses, as a health check would. Times and not processor time, because waiting is what is asked about: the states take
//! turns, and each figure is the median of all rounds.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(2);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ANSWER: &str = "hello";
/// As many scripts at once as lens runs.
const ASKING: usize = lens::sandbox::DEFAULT_CONCURRENCY;

const ENDLESS: [&str; 1] = ["for a in range(1000000):\n    for b in range(1000000): pass"];
/// Scripts that take what they can get of other things.
const GREEDY: [&str; 6] = [
    "[[i for i in range(100000)] for j in range(100000)]",
    "sorted(range(1000000), key=lambda x: -x)",
    "\"a\" * 100000000",
    "[t for t in tasks.list(limit=100000)] * 1000",
    "{str(i) * 100: [i] * 1000 for i in range(1000000)}",
    "[x for x in range(10000000) if str(x) * 20 == \"\"]",
];

/// What goes on beside the requests.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    Scripts(&'static [&'static str]),
    Processes(usize),
}

const STATES: [(&str, Beside); 4] = [
    ("left alone", Beside::Nothing),
    ("four endless scripts", Beside::Scripts(&ENDLESS)),
    ("four greedy scripts", Beside::Scripts(&GREEDY)),
    ("two busy processes", Beside::Processes(2)),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => return serve(),
        Some("compute") => return compute(),
        _ => {}
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let service = Service::start()?;
    let mut figures: Vec<Vec<[f64; 2]>> = STATES.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, beside), figures) in STATES.iter().zip(&mut figures) {
            figures.push(service.times(*beside)?);
        }
    }
    println!("time of a request while something goes on beside it, median of {rounds} interleaved rounds");
    for ((name, _), figures) in STATES.iter().zip(&figures) {
        let [middle, slow] = [0, 1].map(|which| {
            let mut values: Vec<f64> = figures.iter().map(|figure| figure[which]).collect();
            at(&mut values, 0.5)
        });
        println!("  {name:22} p50 {middle:5.2} ms, p99 {slow:5.2} ms");
    }
    Ok(())
}

/// The service, until its input ends.
fn serve() -> Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    lens::instrument(builder.enable_all());
    let runtime = builder.build()?;
    let _in = runtime.enter();
    let lens = lens::Builder::new().address(([127, 0, 0, 1], 0)).start()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    println!("{}", listener.local_addr()?.port());
    println!("{}", lens.address().ok_or("lens listens")?.port());
    runtime.spawn(async move {
        let router = axum::Router::new().route("/", axum::routing::get(|| async { ANSWER }));
        axum::serve(listener, router).await
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(lens);
    runtime.shutdown_background();
    Ok(())
}

/// Keeps a processor busy until the input ends.
fn compute() -> Result<()> {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let computing = thread::spawn(|| {
        while !IS_OVER.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    IS_OVER.store(true, Ordering::Relaxed);
    computing.join().map_err(|_| "it panicked")?;
    Ok(())
}

/// This program again, which ends when its input does.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
}

impl Process {
    fn start(what: &str) -> Result<(Self, BufReader<ChildStdout>)> {
        let mut child =
            Command::new(std::env::current_exe()?).arg(what).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("an output")?);
        let input = child.stdin.take();
        Ok((Self { child, input }, output))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

struct Service {
    _process: Process,
    port: u16,
    lens: u16,
}

impl Service {
    fn start() -> Result<Self> {
        let (process, mut output) = Process::start("serve")?;
        let mut port = || -> Result<u16> {
            let mut line = String::new();
            output.read_line(&mut line)?;
            Ok(line.trim().parse()?)
        };
        Ok(Self { port: port()?, lens: port()?, _process: process })
    }

    /// The median and the 99th percentile of a round's requests, in milliseconds.
    fn times(&self, beside: Beside) -> Result<[f64; 2]> {
        let is_over = AtomicBool::new(false);
        let processes = if let Beside::Processes(count) = beside { count } else { 0 };
        let processes: Vec<_> = (0..processes).map(|_| Process::start("compute")).collect::<Result<_>>()?;
        let scripts = if let Beside::Scripts(scripts) = beside { scripts } else { &[] };
        let times = thread::scope(|scope| {
            let asking = if scripts.is_empty() { 0 } else { ASKING };
            let asking: Vec<_> = (0..asking)
                .map(|first| {
                    scope.spawn({
                        let is_over = &is_over;
                        move || self.ask(scripts, first, is_over)
                    })
                })
                .collect();
            thread::sleep(ROUND / 10);
            let times = self.measure();
            is_over.store(true, Ordering::Relaxed);
            let asked: Result<Vec<()>> = asking.into_iter().map(|one| one.join().map_err(|_| "it panicked")?).collect();
            asked.and(times)
        });
        drop(processes);
        times
    }

    fn measure(&self) -> Result<[f64; 2]> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        connection.set_nodelay(true)?;
        let (mut answer, mut times) = ([0; 1024], Vec::new());
        let began = Instant::now();
        while began.elapsed() < ROUND {
            let asked = Instant::now();
            connection.write_all(REQUEST)?;
            let length = connection.read(&mut answer)?;
            times.push(asked.elapsed().as_secs_f64() * 1e3);
            let answer = &answer[..length];
            if !answer.starts_with(b"HTTP/1.1 200") || !answer.ends_with(ANSWER.as_bytes()) {
                return Err(format!("an answer is cut: {}", String::from_utf8_lossy(answer)).into());
            }
            thread::sleep(PAUSE);
        }
        Ok([at(&mut times, 0.5), at(&mut times, 0.99)])
    }

    /// Has lens run one script after the other.
    fn ask(&self, scripts: &[&str], first: usize, is_over: &AtomicBool) -> Result<()> {
        for script in scripts.iter().cycle().skip(first) {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let mut connection = TcpStream::connect(("127.0.0.1", self.lens))?;
            write!(
                connection,
                "POST /debug/lens/query HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{script}",
                script.len()
            )?;
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer)?;
            // Some are refused: the slot of the last one may not be free yet.
            if !answer.starts_with(b"HTTP/1.1 ") {
                return Err(format!("no answer: {}", String::from_utf8_lossy(&answer)).into());
            }
        }
        Ok(())
    }
}

/// The value below which this share of all is.
fn at(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len() - 1)).copied().unwrap_or(f64::NAN)
}
