//! What the runtime's metrics give on unstable tokio.
