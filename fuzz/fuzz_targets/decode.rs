// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any ioctl number and argument: decoding never panics and keeps its promises to native and compat
//! callers.
#![no_main]

#[path = "../../crates/ashmem-core/tests/rules/decode.rs"]
mod decode;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, u64)| {
    let (cmd, arg) = input;
    decode::check(cmd, arg);
});
