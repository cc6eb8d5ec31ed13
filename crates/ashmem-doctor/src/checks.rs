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

use crate::Host;
use crate::finding::Finding;
use crate::way::Way;

/// One thing looked at.
pub trait Check: Sync {
    /// What it is called on the screen: a word or two.
    fn name(&self) -> &'static str;

    /// What it looks at, in half a sentence.
    fn looks_at(&self) -> &'static str;

    /// The ways that do not work while this is at fault.
    fn ways(&self) -> &'static [Way];

    /// Looks.
    fn examine(&self, host: &Host) -> Finding;
}

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
