//! What lens costs a service: processor time of a whole process for each request of axum's smallest handler, with lens as
//! `Builder::new().start()` starts it, as a ratio to the same service without.
//!
//! `RUSTFLAGS="--cfg tokio_unstable" cargo bench -p lens --bench hello [ROUNDS]`. The services are processes on one core,
//! each of which lives all the time and is measured only while it is asked; who asks is on the other core. lens's own
//! threads, its recorder and its watchdog, count as well. The service with lens is then asked 20 000 times a second for a
//! minute, and lens for stalls.
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 21;
const CONNECTIONS: usize = 32;
/// Requests of a connection in a round: about half a second in all.
const REQUESTS: usize = 1000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ANSWER: &str = "hello";

/// How often the service is asked in the end, and for how long.
const RATE: u32 = 20_000;
const MINUTE: Duration = Duration::from_secs(60);
/// How much of what a machine did not manage it makes up for by asking at once.
const BEHIND: Duration = Duration::from_millis(10);
/// The stalls that lens has seen in that minute.
const STALLS: &str = "stalls.recent(limit=1000, last=\"60s\")";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "serve") {
        return serve(arguments.get(at + 1).is_some_and(|with| with == "lens"));
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    pin(1);
    let mut services = [Service::start("plain")?, Service::start("lens")?];
    let mut costs = [Vec::new(), Vec::new()];
    // The first round warms up.
    for round in 0..=rounds {
        for (service, costs) in services.iter_mut().zip(&mut costs) {
            let cost = service.cost()?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let mut ratios: Vec<f64> = costs[1].iter().zip(&costs[0]).map(|(lens, plain)| lens / plain).collect();
    let [plain, lens] = costs.map(|mut costs| median(&mut costs));
    println!("processor time of an axum service a request, median of {rounds} interleaved rounds");
    println!("  without lens {plain:8.0} ns");
    println!("  with lens    {lens:8.0} ns, median ratio {:.3} to the same round", median(&mut ratios));
    let [_, with_lens] = &mut services;
    let (asked, took) = with_lens.paced()?;
    println!("{asked} requests in {took:.1?}, and lens saw stalls: {}", with_lens.stalls()?);
    Ok(())
}

/// Keeps this process to one core, where there are two.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // With one core, all share it.
    let _ = sched_setaffinity(None, &cores);
}

/// The service: answers until its input ends, and says on each line of input what it has used.
fn serve(with_lens: bool) -> Result<()> {
    pin(0);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all();
    if with_lens {
        lens::instrument(&mut builder);
    }
    let runtime = builder.build()?;
    let _in = runtime.enter();
    let lens = with_lens.then(|| lens::Builder::new().address(([127, 0, 0, 1], 0)).start()).transpose()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))?;
    println!("{}", listener.local_addr()?.port());
    runtime.spawn(async move {
        let router = axum::Router::new().route("/", axum::routing::get(|| async { ANSWER }));
        axum::serve(listener, router).await
    });
    for line in std::io::stdin().lines() {
        if line? == STALLS {
            println!("{}", lens.as_ref().ok_or("no lens")?.query(STALLS)?.value);
            continue;
        }
        let time = clock_gettime(ClockId::ProcessCPUTime);
        println!("{}", i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec));
    }
    drop(lens);
    runtime.shutdown_background();
    Ok(())
}

/// A service in a process of its own.
struct Service {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    connections: Vec<TcpStream>,
}

impl Service {
    fn start(which: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", which])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = child.stdin.take().ok_or("an input")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("an output")?);
        let port: u16 = number(&mut answers)?.try_into()?;
        let connections = (0..CONNECTIONS).map(|_| TcpStream::connect(("127.0.0.1", port)));
        let connections = connections.collect::<std::io::Result<_>>()?;
        Ok(Self { child, ask, answers, connections })
    }

    /// Nanoseconds of the service's processor time for a request.
    fn cost(&mut self) -> Result<f64> {
        let before = self.used()?;
        for _ in 0..REQUESTS {
            self.ask_each()?;
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds, in nanoseconds")]
        let used = (self.used()? - before) as f64;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let requests = (REQUESTS * CONNECTIONS) as f64;
        Ok(used / requests)
    }

    /// Asks at [`RATE`] for a [`MINUTE`]; gives how many requests it were, and the time.
    fn paced(&mut self) -> Result<(usize, Duration)> {
        let each = Duration::from_secs(1) * u32::try_from(CONNECTIONS)? / RATE;
        let (begun, mut asked, mut next) = (Instant::now(), 0, Instant::now());
        while begun.elapsed() < MINUTE {
            self.ask_each()?;
            asked += 1;
            next = (next + each).max(Instant::now().checked_sub(BEHIND).unwrap_or(begun));
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok((CONNECTIONS * asked, begun.elapsed()))
    }

    /// A request by each connection.
    fn ask_each(&mut self) -> Result<()> {
        let mut answer = [0; 1024];
        for connection in &mut self.connections {
            connection.write_all(REQUEST)?;
        }
        for connection in &mut self.connections {
            let length = connection.read(&mut answer)?;
            let answer = &answer[..length];
            if !answer.starts_with(b"HTTP/1.1 200") || !answer.ends_with(ANSWER.as_bytes()) {
                return Err(format!("an answer is cut: {}", String::from_utf8_lossy(answer)).into());
            }
        }
        Ok(())
    }

    /// What lens says of stalls in the service.
    fn stalls(&mut self) -> Result<String> {
        writeln!(self.ask, "{STALLS}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn used(&mut self) -> Result<i128> {
        self.ask.write_all(b"\n")?;
        number(&mut self.answers)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // This bench's own child, by its handle.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(answers: &mut impl BufRead) -> Result<i128> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    Ok(line.trim().parse()?)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
