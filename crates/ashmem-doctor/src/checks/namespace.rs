// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mount namespace of a program's own, in which `ashmem run` puts the node.

use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::Host;
use crate::check::Check;
use crate::child::{Child, ChildEnd};
use crate::finding::Finding;
use crate::trial;
use crate::way::Way;

/// What the child ends with when it is refused; an errno is smaller.
const REFUSED_LATE: i32 = 200;

/// Made in a child, as root or in a user namespace.
pub(super) struct NamespaceCheck;

impl Check for NamespaceCheck {
    fn name(&self) -> &'static str {
        "own /dev"
    }

    fn looks_at(&self) -> &'static str {
        "whether a program can have a /dev of its own (mount namespace, and a user namespace \
         unless this is root), tried in a child"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Run]
    }

    fn examine(&self, host: &Host) -> Finding {
        let end = Child::start(enter).and_then(|child| child.end(Duration::from_secs(10)));
        let errno = match end {
            Ok(ChildEnd::Exit(0)) => return Finding::ok("a program can have one"),
            Ok(ChildEnd::Exit(code)) if code < REFUSED_LATE => Errno::from_raw_os_error(code),
            Ok(ChildEnd::Exit(_)) => Errno::PERM,
            Ok(end) => {
                return Finding::warning(format!("the child that tried was stopped: {end:?}"))
                    .why(CONSEQUENCE);
            }
            Err(errno) => errno,
        };
        let finding = Finding::warning(format!("refused: {}", trial::name(errno)));
        let is = |path: &str, value: &str| host.text(path).as_deref() == Some(value);
        if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
            return finding
                .why(format!(
                    "AppArmor keeps user namespaces from ordinary users here. {CONSEQUENCE}"
                ))
                .next("sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0");
        }
        if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
            return finding
                .why(format!("user namespaces are kept from ordinary users here. {CONSEQUENCE}"))
                .next("sudo sysctl kernel.unprivileged_userns_clone=1");
        }
        if is("/proc/sys/user/max_user_namespaces", "0") {
            return finding
                .why(format!("no user namespace is allowed here. {CONSEQUENCE}"))
                .next("sudo sysctl user.max_user_namespaces=15000");
        }
        finding.why(CONSEQUENCE)
    }
}

const CONSEQUENCE: &str = "`ashmem run` works without: every lookup of a path is then notified, \
                           which costs some microseconds each";

fn enter() -> i32 {
    // SAFETY: the child has one thread, and leaves its descriptor table alone.
    let own = unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
        // SAFETY: as above.
        .or_else(|_| unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) });
    if let Err(errno) = own {
        return errno.raw_os_error();
    }
    // A security module may grant the namespace and no rights in it.
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    match mount_change(c"/", flags) {
        Ok(()) => 0,
        Err(_) => REFUSED_LATE,
    }
}
