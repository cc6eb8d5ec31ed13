// SPDX-License-Identifier: GPL-2.0
//! The Rust half of the kernel module `ashmem_linux`: a shell that carries [`ashmem_core`] into the
//! kernel.
//!
//! It knows no kernel structure: what needs one is in the C half (`module/glue`), behind the
//! functions of `glue`. Read `ioctl` for what a request does, `region` for the locks and their
//! order, `purge` for what the shrinker does.
//!
//! Nothing here can panic: the build fails if the linked object holds a panic.

#![no_std]

mod entry;
mod glue;
mod ioctl;
mod mapping;
mod name;
mod order;
mod purge;
mod range;
mod region;
mod trace;
mod user;

/// Never called, since no code that panics is linked; the language wants it to exist.
#[cfg(ashmem_kernel)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
