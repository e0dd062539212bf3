//! What the task hooks give on unstable tokio.
