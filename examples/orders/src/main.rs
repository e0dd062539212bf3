//! The program: reads how it is started, starts lens where it is compiled in, and serves.

use std::io;
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

#[expect(clippy::print_stdout, reason = "a program's answer to the person who started it")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "a program's answer to the person who started it")]
fn fail(text: &str, code: u8) -> ExitCode {
    eprintln!("orders: {text}");
    ExitCode::from(code)
}
