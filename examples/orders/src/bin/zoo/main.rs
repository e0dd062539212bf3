//! The scorecard: each fault in a fresh service under load, what lens says about it, and how that compares with the truth.
//! Healthy services as well, about which lens must say nothing.
//!
//! ```sh
//! RUSTFLAGS="--cfg tokio_unstable" cargo run --release -p orders --features lens --bin zoo
//! … --bin zoo -- --rounds 1 --healthy-seconds 60 blocking_call task_leak+fd_leak steady
//! ```

mod child;
mod judge;
mod plan;
mod table;

use std::io::Write;
use std::process::ExitCode;

use plan::Plan;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

lens::heap_profiles!();

/// What makes this program the service under test instead.
const SERVICE: &str = "--service";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == SERVICE) {
        return service();
    }
    let plan = match Plan::parse(std::env::args().skip(1)) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            say(&format!("{}\n\n{}.", plan::USAGE, plan::known()));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&format!("zoo: {error}\n`zoo --help` says what there is."));
            return ExitCode::from(2);
        }
    };
    let mut card = table::Card::default();
    say(table::HEAD);
    for round in 1..=plan.rounds {
        for case in &plan.faults {
            let row = judge::fault(case, round);
            say(&row.to_string());
            card.faults.push(row);
        }
        for healthy in &plan.healthy {
            let row = judge::healthy(healthy, round, plan.healthy_seconds);
            say(&row.to_string());
            card.healthy.push(row);
        }
    }
    say(&card.to_string());
    if card.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The service, as `orders` is.
#[tokio::main(crate = "lens")]
async fn service() -> ExitCode {
    orders::program::run(std::env::args_os().skip(2)).await
}

/// Prints a line at once; whether anybody reads it is not the point.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
