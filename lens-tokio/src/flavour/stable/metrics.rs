//! What the runtime's metrics give on stable tokio.
