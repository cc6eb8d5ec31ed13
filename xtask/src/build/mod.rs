// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is built here: the kernel module, the C library, packages, programs that need no library.

pub(crate) mod cross;
pub(crate) mod distributed;
pub(crate) mod library;
pub(crate) mod module;
pub(crate) mod oci_image;
pub(crate) mod packages;
pub(crate) mod stage;
pub(crate) mod static_program;
