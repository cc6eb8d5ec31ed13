// SPDX-License-Identifier: MIT OR Apache-2.0
//! The blob: what runs in a program in place of a call of the device.
//!
//! It runs on the program's stack, in any of its threads, at any time, in as many at once as there
//! are. It keeps nothing between two calls and changes nothing but what the call is about.

#![no_std]
#![no_main]

#[path = "../layout.rs"]
#[allow(dead_code, unreachable_pub, reason = "the supervisor uses the rest")]
mod layout;
#[path = "../state.rs"]
#[allow(dead_code, unreachable_pub, reason = "the supervisor uses the rest")]
mod state;

mod calls;
mod entry;
mod kernel;
mod name;
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod processor;

use core::panic::PanicInfo;

unsafe extern "C" {
    /// Nowhere: a blob that can panic does not link.
    fn ashmem_inside_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: the function does not exist, so no program holds this call.
    unsafe { ashmem_inside_can_panic() }
}
