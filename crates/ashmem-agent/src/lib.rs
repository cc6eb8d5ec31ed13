//! The ashmem device without a module: seccomp user notification answered from memfds.
//!
//! A program, or a container, runs under a seccomp filter that turns the few calls which could concern the device into
//! notifications ([`filter`]). A [`supervisor`] answers them: an open of `/dev/ashmem` with a memfd, the ioctls from the
//! region's state, everything that is not the device's with "go on". What the device is, ashmem-core knows.
//!
//! - [`calls`], [`filter`], [`notify`]: the kernel's side;
//! - [`channel`]: where notifications come from; [`direct`] is one of the sources: a program we start ourselves;
//! - [`agent`], [`endpoint`], [`oci`], [`lxc`], [`container`]: containers that their runtimes bring; [`profile`] is what tells a
//!   runtime to;
//! - [`confine`]: what the agent gives up before it serves; [`service`], [`store`]: what outlives the agent, so that a restart loses no container;
//! - [`device`], [`memory`], [`region`], [`arena`], [`table`], `reserve`: what a region is and how long it lives;
//! - [`target`]: the calling thread seen from outside; `allowance`: how many descriptors may be kept to save work;
//! - [`tap`]: what is answered, told to whoever traces it;
//! - [`origin`]: all regions of one program or container, and its calls: `open`, `ioctl`, `mmap`, `stat`, `purge`.

pub mod agent;
mod allowance;
pub mod arena;
pub mod calls;
pub mod channel;
pub mod confine;
pub mod container;
pub mod device;
pub mod direct;
pub mod endpoint;
pub mod filter;
mod handover;
mod holder;
mod implant;
mod ioctl;
mod keeper;
mod kept;
pub mod lxc;
pub mod memory;
mod mmap;
mod namespace;
pub mod notify;
pub mod oci;
mod open;
mod openings;
pub mod origin;
mod pressure;
mod process;
pub mod profile;
mod protect;
mod purge;
pub mod region;
mod reserve;
mod restore;
pub mod service;
mod slots;
mod stat;
pub mod store;
pub mod supervisor;
pub mod table;
pub mod tap;
pub mod target;
mod waiter;
mod watches;

pub use waiter::Ending;
