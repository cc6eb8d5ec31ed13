// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waydroid's container with `/dev/ashmem` and `/dev/ashmem<boot_id>`, by the kernel module or by
//! the agent.
//!
//! Waydroid writes its container's configuration when it is initialised and upgraded, and never
//! between: what it found then holds until then. The boot's id is another at each boot, the module
//! may be gone after a kernel update, and an upgrade writes every file anew. So nothing of
//! Waydroid's is changed here. Its service is given a directory in which `lxc-start` is found
//! before LXC's own ([`drop_in`]); that one asks here, at each start of the container, for a
//! configuration ([`start`]) that includes Waydroid's and adds what is missing, as things stand at
//! that moment. LXC's own `lxc-start` then gets it by `--rcfile`.
//!
//! What is left on the machine is one file in `/etc`, and files in `/run` that each start writes
//! anew. If this program is removed, Waydroid's service finds LXC's `lxc-start` again.
//!
//! - [`host`]: the machine, or a root directory in its place;
//! - [`waydroid`]: Waydroid as it is installed, and its running container;
//! - [`config`]: LXC's configuration files, read as LXC reads them;
//! - [`provider`]: the module, the agent, and which of them can serve;
//! - [`start`]: what one start of the container needs beside Waydroid's configuration;
//! - [`drop_in`]: the one file in `/etc`;
//! - [`switch`]: enabling and disabling;
//! - [`status`]: how it all stands.

pub mod config;
pub mod drop_in;
pub mod host;
pub mod provider;
pub mod start;
pub mod status;
pub mod switch;
pub mod waydroid;
