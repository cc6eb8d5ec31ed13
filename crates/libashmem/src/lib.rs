// SPDX-License-Identifier: MIT OR Apache-2.0
//! `libashmem.so.0`: Android's shared memory functions for C and C++ programs on Linux.
//!
//! Two headers, two modules: [`sharedmem`] is the NDK's `<android/sharedmem.h>`, [`cutils`] is the
//! platform's `<cutils/ashmem.h>`. Every function turns numbers and pointers into what the `ashmem`
//! crate takes, calls it once, and turns the answer back; there is no state here and nothing is
//! decided.
//!
//! All of it may be called from any thread, and by a child after `fork`. Nothing is allocated.
//! `errno` is set when a function fails and left alone when it succeeds. A panic, of which none is
//! known, ends the process at the border (`extern "C"`) instead of unwinding through C.
//!
//! `cargo xtask library --prefix DIR` builds and installs it.

mod border;
pub mod cutils;
pub mod sharedmem;
