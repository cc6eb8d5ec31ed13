// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks: what each looks at, and all of them in the order they are told.

mod agent;
mod binder;
mod boot_id;
mod cdi;
mod containers;
mod device;
mod kernel;
mod lockdown;
mod lxc;
mod memfd;
mod module;
mod mok;
mod namespace;
mod next_kernel;
mod oci;
mod page_size;
mod seccomp;
mod secure_boot;
mod waydroid;

use crate::check::Check;

/// All checks.
pub const ALL: [&dyn Check; 19] = [
    &kernel::Kernel,
    &module::Module,
    &next_kernel::NextKernel,
    &secure_boot::SecureBootState,
    &mok::Mok,
    &lockdown::Lockdown,
    &device::Device,
    &boot_id::BootId,
    &memfd::Memfd,
    &seccomp::Seccomp,
    &namespace::Namespace,
    &agent::Agent,
    &oci::Oci,
    &lxc::Lxc,
    &cdi::Cdi,
    &containers::Containers,
    &binder::Binder,
    &waydroid::Waydroid,
    &page_size::PageSize,
];
