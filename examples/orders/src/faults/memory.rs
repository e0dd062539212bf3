//! Faults of memory that is taken and not given back.

use super::context::Context;
use super::truth::{Cause, Place, Truth, here};
use super::{Bound, Fault};

const KEPT: Place = here!("heap_leak" in "memory.rs");
const KEEPER: Place = here!("heap_leak task" in "memory.rs");

pub(super) const FAULTS: &[Fault] = &[Fault {
    name: "heap_leak",
    about: "blocks of 4 KiB are kept that nobody needs",
    truth: Truth { cause: Cause::HeapLeak, place: KEPT, also: &[], spawned_at: &[KEEPER] },
    removable: true,
    seconds: Bound::new(600, 3_600),
    rate: Some(Bound::new(500, 5_000)),
    count: Bound::new(50_000, 65_536),
    unit: "blocks of 4096 bytes",
    start: |context| drop(tokio::spawn(leak_memory(context))), // here: heap_leak task
}];

/// The size of a block, in bytes.
const BLOCK: usize = 4_096;

async fn leak_memory(context: Context) {
    let mut receipts = Vec::new();
    let keep = || {
        receipts.push(vec![0xa5_u8; BLOCK]); // here: heap_leak
    };
    context.pace(keep).await;
}
