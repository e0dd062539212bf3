//! The task table's protocols under loom, which runs them in every order that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lens-tokio --release --test loom`. The sources are included, because under that
//! flag the crate itself is empty: tokio cannot be used with it.
#![cfg(loom)]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the models run the protocols, not the clock and the counters around them"
)]

#[path = "../src"]
mod src {
    pub(crate) mod sync;
    pub(crate) mod table;
}
use src::{sync, table};

#[path = "loom/ends.rs"]
mod ends;
#[path = "loom/pages.rs"]
mod pages;
#[path = "loom/slot.rs"]
mod slot;
#[path = "loom/tallies.rs"]
mod tallies;
