//! What tokio tells about its runtimes and tasks.

mod flavour;

pub use flavour::TOKIO_UNSTABLE;
