//! The program: reads how it is started, starts lens where it is compiled in, and serves.

use std::io::{self, Write};
use std::process::ExitCode;

use orders::config::{Command, Config, HELP};
use orders::{config, service};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg_attr(feature = "lens", tokio::main(crate = "lens"))]
#[cfg_attr(not(feature = "lens"), tokio::main)]
async fn main() -> ExitCode {
    let config = match config::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(Command::Run(config)) => config,
        Ok(Command::Help) => return print(HELP),
        Err(error) => return fail(&format!("{error}\nTry `orders --help`."), 2),
    };
    config.start_log();
    match serve(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), 1),
    }
}

async fn serve(config: &Config) -> io::Result<()> {
    let service = service::start(config).await?;
    print(&format!("orders: http://{}\n", service.address()));
    service.run().await
}

/// Prints; whether anybody reads it is not the service's concern.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "orders: {text}");
    ExitCode::from(code)
}
