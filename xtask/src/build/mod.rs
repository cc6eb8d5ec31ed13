// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is built here: the kernel module, the C library, packages, programs that need no library,
//! and a release of all.

pub(crate) mod archive;
pub(crate) mod checkout;
pub(crate) mod cross;
pub(crate) mod dist;
pub(crate) mod distributed;
pub(crate) mod library;
pub(crate) mod module;
pub(crate) mod oci_image;
pub(crate) mod packages;
pub(crate) mod pacman;
pub(crate) mod recipe;
pub(crate) mod rpm;
pub(crate) mod sbom;
pub(crate) mod signature;
pub(crate) mod stage;
pub(crate) mod static_program;
