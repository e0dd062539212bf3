//! How soon lens answers over HTTP: a trivial query, the first page, and both while every worker of the service is blocked;
//! and what queries over many tasks take inside. Wall time, medians: what a person waits for. Run with `cargo bench --bench answer`.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = lens::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let entered = runtime.enter();
    let lens = lens::Builder::new().address(([127, 0, 0, 1], 0)).start()?;
    let address = lens.address().ok_or("lens listens")?;

    if std::env::args().any(|argument| argument == "tasks") {
        // For a profiler.
        return over_many_tasks(&runtime, address);
    }
    println!("{:<44} {:>10} {:>10}", "", "median ms", "max ms");
    let trivial = request("POST", "/query", "1 + 1");
    let workers = request("POST", "/query", "[w.state for w in runtime.workers()]");
    let index = request("GET", "", "");
    measure("query `1 + 1`", address, &trivial)?;
    measure("query over every worker", address, &workers)?;
    measure("first page", address, &index)?;

    over_many_tasks(&runtime, address)?;

    for _ in 0..2 {
        // A worker that sleeps is what this bench is about.
        runtime.spawn(async { std::thread::sleep(Duration::from_secs(20)) });
    }
    std::thread::sleep(Duration::from_millis(500));
    measure("query over every worker, all blocked", address, &workers)?;
    measure("first page, all blocked", address, &index)?;
    drop(lens);
    drop(entered);
    runtime.shutdown_background();
    Ok(())
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} /debug/lens{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Each request on a connection of its own, as curl does it.
fn measure(name: &str, address: SocketAddr, request: &[u8]) -> std::io::Result<()> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        times.push(started.elapsed());
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    times.sort();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{name:<44} {:>10.3} {:>10.3}", millis(times[ROUNDS / 2]), millis(times[ROUNDS - 1]));
    Ok(())
}

/// A filter over tasks, and a report of 50 lines: what the query itself took, which is in its answer.
fn over_many_tasks(runtime: &lens::runtime::Runtime, address: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
    const TASKS: usize = 100_000;
    const REPORT: &str = include_str!("report.star");
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(std::future::pending::<()>())).collect();
    let filter = format!("[t.id for t in tasks.list(limit={TASKS}) if t.idle_ms > 3600000]");
    println!("\n{:<44} {:>10} {:>10}", format!("inside, over {TASKS} tasks"), "median ms", "max ms");
    for (name, script) in [
        ("rows", &*format!("len(tasks.list(limit={TASKS}))")),
        ("filter, rows included", &*filter),
        ("report of 50 lines, rows included", REPORT),
    ] {
        let request = request("POST", "/query", script);
        let mut times = Vec::new();
        for _ in 0..21 {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(&request)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            let elapsed = answer.split_once("\"elapsed_ms\":").and_then(|(_, rest)| rest.split([',', '}']).next());
            times.push(elapsed.ok_or(answer.clone())?.trim().parse::<f64>()?);
        }
        times.sort_by(f64::total_cmp);
        println!("{name:<44} {:>10.3} {:>10.3}", times[times.len() / 2], times[times.len() - 1]);
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    println!("\n{:<44} {:>10} {:>10}", "", "median ms", "max ms");
    Ok(())
}
