// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `ashmem` program: Android's shared memory on Linux, one verb a file.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashmem_cli::main()
}
