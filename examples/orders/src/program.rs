//! What the program does once it knows how: it is here, and not in `main`, because the zoo runs the same program.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Command, Config, HELP};
use crate::{config, service};

/// Runs the service as `arguments` say, until it is told to end.
pub async fn run(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let config = match config::parse(arguments, |name| std::env::var_os(name)) {
        Ok(Command::Run(config)) => config,
        Ok(Command::Help) => return print(HELP),
        Err(error) => return fail(&format!("{error}\nTry `orders --help`."), 2),
    };
    config.start_log();
    match serve(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&chain(error.as_ref()), 1),
    }
}

async fn serve(config: &Config) -> Result<(), Box<dyn Error>> {
    #[cfg(feature = "lens")]
    let lens = {
        let builder = lens::Builder::new().address(config.lens_address).record_panics();
        match lens::models::Settings::from_environment()? {
            Some(models) => builder.model(models.build()?).start()?,
            None => builder.start()?,
        }
    };
    let service = service::start(config).await?;
    print(&format!("orders: http://{}\n", service.address()));
    #[cfg(feature = "lens")]
    let service = service.nest("/debug/lens", lens.router());
    #[cfg(feature = "lens")]
    if let Some(address) = lens.address() {
        print(&format!("lens: http://{address}/debug/lens\n"));
    }
    service.run().await?;
    Ok(())
}

/// An error and what caused it, in one line.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
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
