//! The program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(feature = "lens")]
lens::heap_profiles!();

#[cfg_attr(feature = "lens", tokio::main(crate = "lens"))]
#[cfg_attr(not(feature = "lens"), tokio::main)]
async fn main() -> ExitCode {
    orders::program::run(std::env::args_os().skip(1)).await
}
