// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks: what each looks at, and all of them in the order they are told.

mod agent;
mod binder;
mod boot_id;
mod cdi;
mod container_node;
mod containers;
mod device;
mod kernel;
mod lockdown;
mod lxc;
mod memfd;
pub(crate) mod module;
mod mok;
mod namespace;
mod neighbours;
mod next_kernel;
mod oci;
mod page_size;
mod seccomp;
mod secure_boot;
mod waydroid;

use crate::check::Check;

/// All checks.
pub const ALL: [&dyn Check; 20] = [
    &kernel::KernelCheck,
    &module::ModuleCheck,
    &next_kernel::NextKernelCheck,
    &secure_boot::SecureBootCheck,
    &mok::MokCheck,
    &lockdown::LockdownCheck,
    &device::DeviceCheck,
    &boot_id::BootIdCheck,
    &memfd::MemfdCheck,
    &seccomp::SeccompCheck,
    &namespace::NamespaceCheck,
    &agent::AgentCheck,
    &oci::OciCheck,
    &lxc::LxcCheck,
    &cdi::CdiCheck,
    &containers::ContainersCheck,
    &binder::BinderCheck,
    &neighbours::NeighboursCheck,
    &waydroid::WaydroidCheck,
    &page_size::PageSizeCheck,
];
