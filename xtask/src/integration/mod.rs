// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is tried as a whole: the steps of `cargo xtask test` that are more than a call of cargo.

mod c_examples;
pub(crate) mod cdi;
pub(crate) mod confined;
pub(crate) mod containers;
pub(crate) mod doctor;
pub(crate) mod engines;
pub(crate) mod help;
pub(crate) mod inside;
pub(crate) mod kubernetes;
pub(crate) mod library;
pub(crate) mod neighbours;
pub(crate) mod oci_image;
pub(crate) mod packages;
pub(crate) mod perfetto;
pub(crate) mod publishing;
pub(crate) mod recipes;
pub(crate) mod report;
pub(crate) mod suite;
pub(crate) mod tracing;
pub(crate) mod waydroid;
