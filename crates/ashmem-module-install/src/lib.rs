// SPDX-License-Identifier: MIT OR Apache-2.0
//! Installs the kernel module on any distribution, keeps it over kernel updates, and removes it
//! without a trace.
//!
//! The program carries the module's source tree ([`source`]), with the Rust half built for each
//! architecture where a release was made of it. [`plan`] looks at the machine and finds what stands
//! in the way before anything is changed; [`install()`] changes it; [`remove()`] takes it back.
//!
//! - [`dkms`], called by [`by_dkms`], builds for each kernel where the distribution has it;
//!   [`kbuild`] does elsewhere, signs with the distribution's own key ([`signing`]), and [`hooks`]
//!   has the distribution call this program when kernels come.
//! - [`system_files`]: what loads the module at boot, and the device's other name.
//! - [`journal`]: every change is noted before it is made, so that whatever interrupts it, what was
//!   there before is put back; [`manifest`]: every file that was written.
//! - [`machine`]: the machine's files and programs; [`lock`]: one at a time; [`kernel`]: what a
//!   kernel's modules are built with; [`loading`]: the module in the kernel.

mod build_failure;
pub mod by_dkms;
pub mod dkms;
mod files;
pub mod hooks;
mod inherited;
pub mod install;
pub mod journal;
pub mod kbuild;
pub mod kernel;
mod kernel_index;
pub mod loading;
pub mod lock;
pub mod machine;
pub mod manifest;
mod obstacles;
pub mod plan;
pub mod refusal;
pub mod remove;
pub mod signing;
pub mod source;
pub mod system_files;

pub use install::install;
pub use machine::TargetMachine;
pub use plan::{InstallPlan, InstallRequest};
pub use refusal::{Error, InstallRefusal};
pub use remove::remove;
