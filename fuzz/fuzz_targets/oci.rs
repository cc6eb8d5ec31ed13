// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a container runtime sends: a message in two pieces, with descriptors. Whatever it is, it is
//! understood or refused, and no descriptor of it stays open.

#![no_main]

#[path = "support/descriptors.rs"]
mod descriptors;

use ashmem_agent::agent::oci;
use descriptors::{open_descriptors, pair, send};
use libfuzzer_sys::fuzz_target;
use rustix::net::SocketType;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (count, split, bytes) = input;
    let count = usize::from(count % 4);
    // The pure part, as if the descriptors had come.
    if let Ok((process, place)) = oci::parse(bytes, count) {
        assert!(place < count && !process.container.is_empty() && process.pid >= 0);
    }
    let before = open_descriptors();
    {
        let (theirs, ours) = pair(SocketType::STREAM);
        let (head, tail) = bytes.split_at(usize::from(split).min(bytes.len()));
        send(&theirs, head, count);
        send(&theirs, tail, 0);
        drop(theirs);
        drop(oci::receive(ours));
    }
    assert_eq!(open_descriptors(), before, "a descriptor is left");
});
