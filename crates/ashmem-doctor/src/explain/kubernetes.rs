// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Kubernetes says of devices, profiles and policies.

use crate::advice::NextStep::{self, Do};
use crate::message::{Fact, Message};
use crate::subject::Subject::{Ashmem, Binder, Device, DeviceName, Neighbour};

const M: Message = Message::PLAIN;

/// How the ways that Kubernetes has had to forbid a pod word that.
macro_rules! refused {
    () => {
        concat!(
            r"(violates PodSecurity|unable to validate against any (security context constraint|",
            r"pod security policy)|privileged containers are not allowed|",
            r"hostPath volumes (are|is) not allowed|unable to admit pod)"
        )
    };
}

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "k8s-no-device",
        about: &[DeviceName],
        says: concat!(
            r"(insufficient|too few|enough resource:?)\s+[\w.-]+/|\boutof\w*[\w.-]+/|",
            r"did(n't| not) have free|does(n't| not) have .*resource|",
            r"number of devices unavailable"
        ),
        cause: "no node offers as many of this device: the device plugin does not run there, the \
                node has no /dev/ashmem, or all are given out",
        next: &[
            Do("kubectl get nodes -o json | jq '.items[] | {node: .metadata.name, free: \
                .status.allocatable}'"),
            Do("kubectl -n kube-system get pods -o wide | grep -i device-plugin"),
            Do("# on the node: ashmem doctor --mode module; docs/kubernetes.md"),
        ],
        ..M
    },
    Message {
        id: "k8s-device-unhealthy",
        about: &[DeviceName, Device],
        says: concat!(
            r"no healthy devices|unhealthy devices|",
            r"allocate failed|UnexpectedAdmissionError|unregistered device"
        ),
        cause: "the device plugin said that it has the device, and the kubelet did not get it: the \
                plugin restarted, or the module was unloaded on that node",
        next: &[
            Do("# on the node: ls -l /dev/ashmem; ashmem doctor --mode module"),
            Do(
                "kubectl delete pod NAME   # the pod stays failed; make it anew once the plugin is \
                up",
            ),
        ],
        ..M
    },
    Message {
        id: "k8s-plugin-not-registered",
        about: &[DeviceName, Ashmem],
        says: concat!(
            r"device-plugins/kubelet\.sock|\bregister\w* (the )?device plugin|",
            r"\bdial (the )?device plugin|endpoint registration failed"
        ),
        cause: "the device plugin could not tell the kubelet what it has: the kubelet's socket is \
                not there, or the plugin may not open it",
        next: &[
            Do("sudo ls -lZ /var/lib/kubelet/device-plugins   # on the node; some distributions \
                have it elsewhere"),
            Do("# the plugin's pod mounts that folder, and runs privileged where SELinux is on: \
                docs/kubernetes.md"),
        ],
        ..M
    },
    Message {
        id: "k8s-plugin-gone",
        about: &[DeviceName],
        says: concat!(
            r"listAndWatch ended|mark all resources unhealthy|",
            r"device plugin.*(\bEOF\b|unavailable|stopped|crash)|",
            r"running device-plugin\b.*(error|err=)|error\b.*\brunning device-plugin"
        ),
        cause: "the device plugin ended, or lost the kubelet: the node offers none of this device \
                until it is back",
        next: &[
            Do("kubectl -n kube-system get pods -o wide | grep -i device-plugin"),
            Do("kubectl -n kube-system logs --previous POD   # why it ended"),
            Do("# on the node: ls -l /dev/ashmem"),
        ],
        ..M
    },
    Message {
        id: "k8s-hostpath",
        about: &[Ashmem, Binder, Neighbour],
        says: r"hostPath type check failed|MountVolume\.SetUp failed",
        cause: "the node does not have the device that the pod mounts from it, or something else \
                lies at that path",
        next: &[
            Do("# on that node: ls -l /dev/ashmem /dev/binderfs; ashmem doctor"),
            Do("# a device plugin hands the node out without hostPath: docs/kubernetes.md"),
        ],
        ..M
    },
    Message {
        id: "seccomp-profile-damaged",
        says: concat!(
            r"(decod|pars|unmarshal|load)\w*\b.*\bseccomp profile\b.*(invalid character|cannot ",
            r"unmarshal|unexpected end|unknown field|: json: )"
        ),
        taken_back_by: &[Fact::NothingOfOurs],
        cause: "the engine cannot read the container's seccomp profile: the file is no JSON, or is \
                in another form than this engine's",
        next: &[
            Do("python3 -m json.tool PROFILE.json   # names the place"),
            Do("ashmem agent profile --oci > PROFILE.json   # the agent's, written anew"),
        ],
        ..M
    },
    Message {
        id: "seccomp-profile-missing",
        about: &[],
        says: concat!(
            r"(cannot load|failed to load|unable to load|error loading|opening|open|read\w*)\s",
            r".*seccomp\b.*(no such file|fail|not found)|",
            r"kubelet/seccomp/\S+.*no such file|seccomp:? profile .*(not found|does not exist)"
        ),
        unless: r"bpf|agent\.sock|lxc\.sock|kernel does not",
        cause: "the seccomp profile that the container names is not there: on Kubernetes a \
                Localhost profile must lie below /var/lib/kubelet/seccomp on each node that may \
                run the pod",
        next: &[
            Do("# the agent's profile: ashmem agent profile --oci; docs/containers.md, \
                docs/kubernetes.md"),
            Do("sudo ls -lR /var/lib/kubelet/seccomp   # on the node"),
        ],
        ..M
    },
    Message {
        id: "k8s-podsecurity",
        about: &[],
        says: concat!(
            refused!(),
            r".*(redroid|android|ashmem|waydroid|binder)|",
            r"(redroid|android|ashmem|waydroid).*",
            refused!()
        ),
        cause: "the namespace's Pod Security level does not allow what the pod asks for \
                (privileged, hostPath, a profile of its own)",
        next: &[
            Do("kubectl label namespace NAME pod-security.kubernetes.io/enforce=privileged"),
            Do("# without privileged: a device plugin for /dev/ashmem and the agent's profile; \
                docs/kubernetes.md"),
        ],
        ..M
    },
    Message {
        id: "apparmor-parser-missing",
        says: r#"exec: "?apparmor_parser"?: .*not found|apparmor_parser version: .*not found"#,
        cause: "the kernel has AppArmor, and the program that loads profiles is not installed on \
                that node: engines then start no container with a profile",
        next: &[NextStep::Package("apparmor"), Do("sudo systemctl restart containerd docker")],
        ..M
    },
    Message {
        id: "apparmor-profile-missing",
        about: &[],
        says: concat!(
            r"cannot enforce AppArmor.*(not loaded|not enabled)|apparmor profile.*(not found|",
            r"not loaded|does( not|n't) exist)|non-?existent apparmor profile|",
            r"apparmor .*profile could not be loaded|",
            r"apply apparmor profile\b.*no such file|",
            r"/attr/(apparmor/)?exec\b.{1,4}no such file"
        ),
        cause: "the pod names an AppArmor profile that is not loaded on that node",
        next: &[
            Do("sudo aa-status   # on the node: the profiles that are loaded"),
            Do("# securityContext.appArmorProfile: {type: Unconfined} needs none"),
        ],
        ..M
    },
];
