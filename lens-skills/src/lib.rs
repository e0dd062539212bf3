//! What the operating system tells about the process and its machine, and what the process says itself: its panics and its
//! log events.

#[cfg(feature = "logs")]
pub mod logs;
pub mod os;
pub mod panics;

#[cfg(target_os = "linux")]
mod file;
mod places;
#[cfg(test)]
mod testing;
mod text;
