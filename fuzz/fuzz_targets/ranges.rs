// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes as operations on several regions, played on the core and on the page-by-page model.
#![no_main]

#[expect(dead_code, reason = "only the tests count steps")]
#[path = "../../crates/ashmem-core/tests/rules/arena.rs"]
mod arena;
#[path = "../../crates/ashmem-core/tests/rules/model.rs"]
mod model;
#[path = "../../crates/ashmem-core/tests/rules/twin.rs"]
mod twin;

use ashmem_core::store::PageSize;
use libfuzzer_sys::fuzz_target;
use twin::{Op, Twin};

fuzz_target!(|data: &[u8]| {
    let (ops, _) = data.as_chunks::<{ Op::BYTES }>();
    let mut twin = Twin::new(PageSize::from_shift(12), ops.len());
    ops.iter().for_each(|&op| twin.play(Op::decode(op)));
    twin.finish();
});
