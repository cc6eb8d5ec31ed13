//! The `ashmem` program.
fn main() {}
