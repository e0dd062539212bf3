//! What the task hooks give on stable tokio.
