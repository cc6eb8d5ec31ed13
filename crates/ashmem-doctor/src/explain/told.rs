// SPDX-License-Identifier: MIT OR Apache-2.0
//! What other lines of a log tell that takes a message back: a node that is listed beside
//! binderfs' control, a service manager that came back, another's module, Android's end.

use std::sync::LazyLock;

use regex::RegexSet;

use crate::message::Fact;

/// What tells each fact, and whether it begins or ends there.
const PATTERNS: [(&str, Fact, bool); 16] = [
    // A list of files, long or one name a line, or names side by side.
    (r"^\s*[cl][rwxsStT-]{9}[.+@]?\s.*[\s/](anbox-)?(hw|vnd)?binder\d*( -> .*)?$", NODE, true),
    (
        concat!(
            r"^\s*((binder-control|binder_logs|features)\s+)*(anbox-)?(hw|vnd)?binder\d*",
            r"(\s+[\w-]*binder[\w-]*|\s+features)*$"
        ),
        NODE,
        true,
    ),
    (r"^CONFIG_ANDROID_BINDER_IPC=[ym]", Fact::BinderInKernel, true),
    (r"^CONFIG_ANDROID_BINDER_IPC_RUST=[ym]", Fact::RustBinder, true),
    (r"Service manager \S+ has appeared", Fact::ServiceManager, true),
    (r"Service manager \S+ has died", Fact::ServiceManager, false),
    (r"\bsession stop\b|\bcontainer stop\b|\blxc-stop\b", Fact::SessionStopped, true),
    (r"\bsession start\b|Service manager \S+ has appeared", Fact::SessionStopped, false),
    (
        r"(ashmem|binder)([_-]linux|\.ko)|\b(insmod|modprobe) \S*(ashmem|binder)",
        Fact::OursModule,
        true,
    ),
    // Others' that people build for the same kernels.
    (r"ashmem|binder|redroid|anbox|waydro|\bandroid|[ \x22'`(]/init\b", Fact::Ours, true),
    (
        concat!(
            r"\b(nvidia|virtualbox|vboxdrv|vmware|vmmon|zfs|spl|v4l2loopback|broadcom|bcmwl|evdi|",
            r"rtl8\w+|r81\d\d|wireguard|openrazer|xone|xpadneo|acpi.call|amdgpu|lttng)\b"
        ),
        Fact::OthersBuild,
        true,
    ),
    // LXC writes the container's name before the place in its source, or behind its hook.
    (
        concat!(
            r"^lxc(-\w+)?: [\w-]+: .*[Ss]cript exited with status|",
            r"lxc\.hook\.\S+ for container \x22"
        ),
        Fact::OthersHook,
        true,
    ),
    (
        concat!(
            r"^lxc(-\w+)?: waydroid: .*[Ss]cript exited with status|",
            r"lxc\.hook\.\S+ for container \x22waydroid"
        ),
        Fact::OthersHook,
        false,
    ),
    (r"\binit: Reboot ending, jumping to kernel", Fact::AndroidEnded, true),
    (r"\binit: init first stage started", Fact::AndroidEnded, false),
    (
        concat!(
            r"^(insmod|modprobe): .*could not insert|^modprobe: FATAL: Module |",
            r"^\S*(insmod|modprobe)\b.*\.ko\b|",
            r"^\s*(sudo )?(insmod|modprobe) [\w./-]+$"
        ),
        Fact::OthersModule,
        true,
    ),
];

const NODE: Fact = Fact::BinderNode;

static SET: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSet::new(PATTERNS.iter().map(|(pattern, ..)| pattern)).expect("the patterns are tested")
});

/// A log that is longer than this was not picked by hand: what names nothing of ours is not ours.
const PICKED: u32 = 3;

/// What the lines so far told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogFacts {
    facts: u16,
    lines: u32,
}

impl LogFacts {
    /// Reads one more line.
    pub(super) fn add(&mut self, text: &str) {
        self.lines = self.lines.saturating_add(1);
        let matches = SET.matches(text);
        let ours = matches.iter().any(|place| PATTERNS[place].1 == Fact::OursModule);
        let stopped = self.facts & (1 << Fact::SessionStopped as u8) != 0;
        for (_, fact, begins) in matches.iter().filter_map(|place| PATTERNS.get(place)) {
            let bit = 1 << *fact as u8;
            match begins {
                true if ours && *fact == Fact::OthersModule => {}
                true => self.facts |= bit,
                // What ends after the session was stopped ends with it.
                false if stopped && *fact == Fact::ServiceManager => self.facts |= bit,
                false => self.facts &= !bit,
            }
        }
    }

    /// Whether the log tells one of these.
    pub(super) fn tells(self, facts: &[Fact]) -> bool {
        let has = |fact: Fact| self.facts & (1 << fact as u8) != 0;
        // A log that names a module of ours too may mean it.
        let is = |fact: &Fact| match fact {
            Fact::OthersModule => has(Fact::OthersModule) && !has(Fact::OursModule),
            Fact::OthersBuild => has(Fact::OthersBuild) && !has(Fact::Ours),
            Fact::NothingOfOurs => self.lines > PICKED && !has(Fact::Ours),
            fact => has(*fact),
        };
        facts.iter().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::LogFacts;
    use crate::message::Fact;

    fn tells(lines: &[&str], fact: Fact) -> bool {
        let mut told = LogFacts::default();
        lines.iter().for_each(|line| told.add(line));
        told.tells(&[fact])
    }

    #[test]
    fn a_node_is_listed_in_each_form_of_ls() {
        for line in [
            "crw-rw-rw- 1 root root 236, 1 2026-03-15 03:19 binder",
            "crw------- 1 root root 236, 3 Oct  4 14:40 /dev/binderfs/anbox-vndbinder",
            "lrwxrwxrwx 1 root root 20 Oct  4 14:40 /dev/binder -> /dev/binderfs/binder",
            "binder  binder-control  features  hwbinder  vndbinder",
            "hwbinder",
        ] {
            assert!(tells(&[line], Fact::BinderNode), "{line}");
        }
        for line in [
            "crw------- 1 root root 236, 0 Oct  4 14:40 binder-control",
            "binder-control  features",
            "nodev\tbinder",
            "binder: undelivered death notification",
        ] {
            assert!(!tells(&[line], Fact::BinderNode), "{line}");
        }
    }

    #[test]
    fn a_service_manager_is_there_or_gone_at_the_end() {
        let (came, went) = (
            "[gbinder] Service manager /dev/binder has appeared",
            "[gbinder] WARNING: Service manager /dev/binder has died",
        );
        assert!(tells(&[went, came], Fact::ServiceManager));
        assert!(!tells(&[came, went], Fact::ServiceManager));
        let stop = "$ waydroid session stop";
        assert!(tells(&[came, stop, went], Fact::ServiceManager));
        assert!(!tells(&[came, went, stop], Fact::ServiceManager));
        assert!(!tells(&[stop, went, came, went], Fact::ServiceManager));
    }

    #[test]
    fn android_has_ended_until_it_starts_again() {
        let (end, start) = (
            "[   98.1] init: Reboot ending, jumping to kernel",
            "[  120.4] init: init first stage started!",
        );
        assert!(tells(&[start, end], Fact::AndroidEnded));
        assert!(!tells(&[end, start], Fact::AndroidEnded));
        assert!(!tells(&[start], Fact::AndroidEnded));
    }

    #[test]
    fn anothers_module_counts_where_none_of_ours_is_named() {
        let other = "insmod: ERROR: could not insert module ./v4l2loopback.ko: not permitted";
        let ours = "modprobe: ERROR: could not insert 'binder_linux': Operation not permitted";
        assert!(tells(&[other], Fact::OthersModule));
        assert!(!tells(&[ours], Fact::OthersModule));
        assert!(!tells(&[other, ours], Fact::OthersModule));
        assert!(tells(&["sudo modprobe v4l2loopback"], Fact::OthersModule));
        for ours in ["sudo modprobe ashmem", "insmod /root/redroid/ashmem.ko", "modprobe binder"] {
            assert!(!tells(&[ours, other], Fact::OthersModule), "{ours}");
        }
    }
}
