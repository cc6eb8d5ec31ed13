// SPDX-License-Identifier: MIT OR Apache-2.0
//! What comes from Debian: packages of this host, kernels, a chroot for newer tools.

pub(crate) mod archive;
pub(crate) mod backports;
pub(crate) mod chroot;
pub(crate) mod foreign;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod kernel;
pub(crate) mod toolchain;
pub(crate) mod unpacked_root;
