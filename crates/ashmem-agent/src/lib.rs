//! The ashmem device without a module: seccomp user notification answered from memfds.
//!
//! A program, or a container, runs under a seccomp filter that turns the few calls which could concern the device into
//! notifications ([`seccomp`]). A [`supervisor`] answers them: an open of `/dev/ashmem` with a memfd, the ioctls from the
//! region's state, everything that is not the device's with "go on". What the device is, ashmem-core knows.
//!
//! From the kernel upwards:
//!
//! - [`seccomp`]: filters, profiles, the listener; [`notification`]: what a listener brings and takes;
//! - [`target`]: the calling thread seen from outside: memory, descriptors, rights;
//! - [`trace`]: what is answered, told to whoever traces it; [`journal`]: what a restart must not lose;
//! - [`regions`]: what a region is and how long it lives;
//! - [`emulation`]: all regions of one program or container, and its calls;
//! - [`supervisor`]: the loop that answers, and what runs beside it;
//! - [`run`]: a program that we start; [`agent`]: containers that their runtimes bring.

pub mod agent;
pub mod emulation;
pub mod error;
pub mod ids;
pub mod journal;
pub mod notification;
pub mod regions;
pub mod run;
pub mod seccomp;
pub mod supervisor;
mod sys;
pub mod target;
pub mod trace;

pub use run::Ending;
