//! lens.
