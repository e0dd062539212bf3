//! A service whose build keeps tokio's events out, and what the layers say of it.

use lens_tokio::{Console, Waits};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() {
    tracing_subscriber::registry().with(lens_tokio::waits_layer()).with(lens_tokio::console_layer()).init();
    let enabled = Console::global().enable();
    for reading in [Waits::global().check(), enabled, Console::global().check()] {
        println!("{}", reading.expect_err("there is nothing to see"));
    }
}
