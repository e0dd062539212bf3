//! What the operating system tells about the process and its machine.
