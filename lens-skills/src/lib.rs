//! What the operating system tells about the process and its machine.

pub mod os;

#[cfg(target_os = "linux")]
mod file;
#[cfg(test)]
mod testing;
