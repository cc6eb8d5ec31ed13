// SPDX-License-Identifier: MIT OR Apache-2.0
//! What LXC's monitor sends: one datagram with descriptors. Whatever it is, it is understood and
//! answered once, in the right length, or refused, and no descriptor of it stays open.

#![no_main]

#[path = "support/descriptors.rs"]
mod descriptors;

use ashmem_agent::agent::lxc::Monitor;
use ashmem_agent::notification::{Answer, Channel};
use descriptors::{open_descriptors, pair, send};
use libfuzzer_sys::fuzz_target;
use rustix::net::{RecvFlags, SocketType, recv};

fuzz_target!(|input: (u8, i64, &[u8])| {
    let (count, value, bytes) = input;
    let before = open_descriptors();
    {
        let (theirs, ours) = pair(SocketType::SEQPACKET);
        send(&theirs, bytes, usize::from(count % 5));
        let monitor = Monitor::new(ours);
        // An empty datagram looks like the monitor's end, and is.
        if let Ok(Some(notification)) = monitor.receive() {
            monitor.answer(notification.id, Answer::Value(value)).expect("the monitor is there");
            let mut reply = [0; 1 << 16];
            let (len, _) = recv(&theirs, &mut reply, RecvFlags::DONTWAIT).expect("an answer");
            assert!(len >= 136 && len < bytes.len() + 1, "{len} bytes answer {}", bytes.len());
            assert_eq!(
                reply[32..len - 24],
                bytes[32..len - 24],
                "the notification goes back as it came"
            );
            assert!(monitor.answer(notification.id, Answer::Continue).is_err(), "answered twice");
        }
    }
    assert_eq!(open_descriptors(), before, "a descriptor is left");
});
