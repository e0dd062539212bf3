//! The task table against what the tests did. Needs tokio's hooks, so it is empty without them. The table is the
//! process's, so every test looks only at its own tasks.
#![cfg(tokio_unstable)]
#![expect(clippy::unwrap_used, reason = "a test's helper fails like the test")]

#[path = "tasks_unstable/ask.rs"]
mod ask;
#[path = "tasks_unstable/builder.rs"]
mod builder;
#[path = "tasks_unstable/lints.rs"]
mod lints;
#[path = "tasks_unstable/moving.rs"]
mod moving;
#[path = "tasks_unstable/numbers.rs"]
mod numbers;
#[path = "tasks_unstable/rows.rs"]
mod rows;
#[path = "tasks_unstable/shutdown.rs"]
mod shutdown;
#[path = "tasks_unstable/tree.rs"]
mod tree;
