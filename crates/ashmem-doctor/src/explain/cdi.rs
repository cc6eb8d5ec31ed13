// SPDX-License-Identifier: MIT OR Apache-2.0
//! What container engines say of devices that they are to find by their CDI names.

use crate::advice::NextStep::Do;
use crate::message::Message;
use crate::subject::Subject::{Ashmem, DeviceName};

const M: Message = Message::PLAIN;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "cdi-off",
        about: &[],
        says: concat!(
            r#"could not select device driver "?cdi"?|\bCDI\b.*(not enabled|disabled|"#,
            r#"not supported|"#,
            r"is off)|(enable|enabling) CDI"
        ),
        unless: r"nvidia\.com|amd\.com|intel\.com",
        cause: "the engine knows CDI and does not use it: Docker before 28.3 and containerd before \
                2.0 want it switched on",
        next: &[
            Do("# docker: {\"features\": {\"cdi\": true}} in /etc/docker/daemon.json, then sudo \
                systemctl restart docker"),
            Do("# containerd 1.7: enable_cdi = true and cdi_spec_dirs = [\"/etc/cdi\", \
                \"/run/cdi\"] under [plugins.\"io.containerd.grpc.v1.cri\"]"),
            Do("sudo ashmem cdi --output /run/cdi/ashmem.json"),
        ],
        ..M
    },
    Message {
        id: "cdi-stale",
        about: &[Ashmem],
        says: r"\bCDI\b.*(failed to stat|host (device|node)|no such file|minor|major)",
        unless: r"unresolvable|unresolved",
        cause: "the CDI specification names a node that is not there now: it was written in \
                another boot (the second name holds the boot's id), or the module is not loaded",
        next: &[
            Do("sudo modprobe ashmem_linux && sudo ashmem cdi --output /run/cdi/ashmem.json"),
            Do("ashmem doctor   # the line `CDI`"),
        ],
        ..M
    },
    Message {
        id: "cdi-invalid",
        about: &[Ashmem, DeviceName],
        says: concat!(
            r"(failed to|could not|cannot) (load|parse|read|validate) (the )?CDI spec|",
            r"invalid CDI spec|",
            r"CDI spec\b.*(unsupported|unknown|invalid) (version|field|vendor)"
        ),
        cause: "the engine does not take the CDI specification: the file is damaged, or says a \
                version that this engine is too old for",
        next: &[
            Do("sudo ashmem cdi --output /run/cdi/ashmem.json   # writes it anew"),
            Do("ls -l /etc/cdi /run/cdi   # an older one in /etc/cdi is read too: remove it"),
        ],
        ..M
    },
    Message {
        id: "cdi-unknown",
        about: &[DeviceName],
        says: concat!(
            r"unresolvable|unresolved|(failed to|could not) (inject|resolve)|not found|no such|",
            r"unknown device|(unable to|cannot|could not) find\b|",
            r"not an absolute path|invalid|not a valid|bad format|does not exist"
        ),
        unless: r"insufficient",
        cause: "the engine found no CDI specification that names android.dev/ashmem, or does not \
                read any (Docker before 28.3 and containerd before 2.0 want it switched on)",
        next: &[
            Do("sudo ashmem cdi --output /run/cdi/ashmem.json"),
            Do(
                "# docker before 28.3: {\"features\": {\"cdi\": true}} in /etc/docker/daemon.json; \
                containerd 1.7: enable_cdi = true",
            ),
        ],
        ..M
    },
];
