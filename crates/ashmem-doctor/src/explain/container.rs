// SPDX-License-Identifier: MIT OR Apache-2.0
//! What container runtimes and supervisors say.

use crate::message::Message;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "cdi-unknown",
        pattern: concat!(
            r"(unresolvable|unresolved|failed to (inject|resolve)).*CDI|",
            r"CDI.*(android\.dev/ashmem|not found|unresolvable)|",
            r"android\.dev/ashmem.*(not found|no such|unresolv)"
        ),
        cause: "the engine found no CDI specification that names android.dev/ashmem, or does not \
                read any (Docker before 28.3 and containerd before 2.0 want it switched on)",
        next: &[
            "sudo ashmem cdi --output /run/cdi/ashmem.json",
            "# docker before 28.3: {\"features\": {\"cdi\": true}} in /etc/docker/daemon.json; \
             containerd 1.7: enable_cdi = true",
        ],
    },
    Message {
        id: "device-not-gathered",
        pattern: concat!(
            r"error gathering device information.*ashmem|",
            r"(adding|custom) device.*ashmem.*no such file|",
            r"stat(ing)? .*?/dev/ashmem.*no such file|failed to (stat|create) device.*ashmem"
        ),
        cause: "the container asks for a device that the host does not have",
        next: &[
            "ashmem doctor --mode module   # on the host",
            "# without the module: the agent's profile and --device /dev/null:/dev/ashmem; \
             docs/containers.md",
        ],
    },
    Message {
        id: "agent-not-reached",
        pattern: concat!(
            r"(seccomp agent|listenerPath|listener path|seccomp\.notify\.proxy|notify proxy|",
            r"ashmem/(agent|lxc)\.sock).*(connect|refused|no such file|fail)|",
            r"(connect|refused|fail\w*).*(seccomp agent|notify proxy|ashmem/(agent|lxc)\.sock)"
        ),
        cause: "the container's seccomp policy names an agent, and nobody listens at its socket; \
                runtimes then refuse to start the container",
        next: &["sudo systemctl enable --now ashmem-agent.socket", "ashmem doctor --mode agent"],
    },
    Message {
        id: "already-supervised",
        pattern: concat!(
            r"seccomp says EBUSY|another (supervisor|listener)|",
            r"SECCOMP_FILTER_FLAG_NEW_LISTENER.*busy"
        ),
        cause: "the kernel allows one seccomp listener in a line of processes, and there is one \
                already: a container with a notify profile, or `ashmem run` inside `ashmem run`",
        next: &[
            "ashmem doctor --mode run",
            "# use /dev/ashmem as that supervisor offers it, or start from outside",
        ],
    },
    Message {
        id: "not-supervised",
        pattern: r"the program was not started|seccomp refuses a user-notification filter",
        cause: "`ashmem run` could not supervise the program and so did not start it",
        next: &["ashmem doctor --mode run"],
    },
    Message {
        id: "agent-died",
        pattern: concat!(
            r"ashmem.*(function not implemented|ENOSYS)|",
            r"(function not implemented|ENOSYS).*ashmem"
        ),
        cause: "the supervisor of this program or container is gone: calls that its filter \
                notifies fail with ENOSYS from then on, and no new one can be attached",
        next: &[
            "# start the container or the program anew",
            "systemctl status ashmem-agent   # why it ended",
        ],
    },
    Message {
        id: "fixed-device-number",
        pattern: r"mknod.*ashmem.*\bc\s+10\s+\d+|devices\.allow.*c 10:\d+",
        cause: "a script makes or allows the device by a fixed number; the misc device's minor \
                number is given out anew at each load (10:55, 10:58, 10:123 and others were seen)",
        next: &[
            "grep -w ashmem /proc/misc   # the number in this boot",
            "# bind the host's node instead: lxc.mount.entry = /dev/ashmem dev/ashmem none \
             bind,create=file 0 0",
        ],
    },
];
