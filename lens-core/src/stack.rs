//! How lens writes a function of a stack, and what turns addresses into functions. Separate because one crate resolves
//! addresses and another has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reading::Reading;

/// Whose code a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The service's own.
    Service,
    /// A dependency's.
    Dependency,
    /// Rust's standard library, tokio, the allocator, or lens: what every stack has.
    Plumbing,
    /// Not known: a library without line tables.
    System,
}

/// One function of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Frame {
    /// The function's path, without hash: `"shop::cart::reserve"`. Of code without a symbol its file and offset:
    /// `"libc.so.6+0x9f2e"`.
    pub function: String,
    /// The line that runs or that called, `"src/cart.rs:41"`; absent without line tables. Of an instruction that the compiler
    /// puts down to no line, that of the nearest one in the same function.
    pub place: Option<String>,
    /// Whose code it is.
    pub origin: Origin,
}

impl Frame {
    /// Bytes that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.function.capacity() + self.place.as_ref().map_or(0, String::capacity)
    }
}

/// The functions at an address, innermost first: at least one, and more where functions are inlined.
pub type Functions = Vec<Frame>;

/// Knows which functions are at an address of this process.
pub trait Symbolize: Send + Sync {
    /// Resolves the addresses that `next` gives, on the caller's thread, until it gives none. `answer` is called with those
    /// addresses and, for each, the functions there.
    ///
    /// Cost: milliseconds to seconds for the first ones, for line tables are read; they are kept until it returns.
    ///
    /// # Errors
    ///
    /// What is loaded into the process cannot be told here.
    fn serve(
        &self,
        next: &mut dyn FnMut() -> Option<Vec<u64>>,
        answer: &mut dyn FnMut(&[u64], Vec<Functions>),
    ) -> Reading<()>;
}
