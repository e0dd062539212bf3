//! The command `lens`; everything about it is in `lens::cli`.

fn main() -> std::process::ExitCode {
    lens::cli::main()
}
