// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user that a keeper and its agents run as, where root starts them.

use std::str::FromStr;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use crate::error::{SystemError, failed};

/// What an agent looks at processes of other users by: what systemd's unit gives it, too.
const CAPABILITIES: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);

/// A user and a group, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    user: Uid,
    group: Gid,
}

impl FromStr for ServiceUser {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The last number is no user: to the kernel it says that nothing changes.
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number != u32::MAX);
        let numbers =
            text.split_once(':').and_then(|(user, group)| Some((number(user)?, number(group)?)));
        match numbers {
            Some((0, _) | (_, 0)) => {
                Err("root is no user for a service: give one that is for the agent alone".into())
            }
            Some((user, group)) => {
                Ok(Self { user: Uid::from_raw(user), group: Gid::from_raw(group) })
            }
            None => Err("it takes two numbers, UID:GID: \"$(id -u NAME):$(id -g NAME)\"".into()),
        }
    }
}

impl ServiceUser {
    /// setresuid(2) and what belongs to it: the process becomes this user, with no right of root's
    /// but CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, which programs that it executes have too, and
    /// can gain none. Call it while the process has one thread.
    ///
    /// # Errors
    /// EPERM: the process is not root's, or lacks one of the two. It must end then: it may be half
    /// of each.
    pub(super) fn become_it(self) -> Result<(), SystemError> {
        let step = failed("changing to the user of --user, which takes root's rights");
        self.change().map_err(step)
    }

    fn change(self) -> Result<(), Errno> {
        set_no_new_privs(true)?;
        for bit in 0..u64::BITS {
            let capability = CapabilitySet::from_bits_retain(1 << bit);
            match capability_is_in_bounding_set(capability) {
                // The kernel knows no more of them.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno),
                Ok(false) => {}
                Ok(true) if CAPABILITIES.contains(capability) => {}
                Ok(true) => remove_capability_from_bounding_set(capability)?,
            }
        }
        set_keep_capabilities(true)?;
        set_thread_groups(&[])?;
        set_thread_res_gid(self.group, self.group, self.group)?;
        set_thread_res_uid(self.user, self.user, self.user)?;
        let (effective, permitted, inheritable) = (CAPABILITIES, CAPABILITIES, CAPABILITIES);
        set_capabilities(None, CapabilitySets { effective, permitted, inheritable })?;
        for capability in CAPABILITIES.iter() {
            configure_capability_in_ambient_set(capability, true)?;
        }
        set_keep_capabilities(false)
    }
}

#[cfg(test)]
mod tests {
    use super::ServiceUser;

    #[test]
    fn a_service_user_is_two_numbers_and_not_root() {
        for text in ["1:1", "65534:65534", "4294967294:7"] {
            assert!(text.parse::<ServiceUser>().is_ok(), "{text}");
        }
        for text in ["", "1", "1:", ":1", "0:1", "1:0", "4294967295:1", "ashmem:1", "-1:1"] {
            assert!(text.parse::<ServiceUser>().is_err(), "{text}");
        }
    }
}
