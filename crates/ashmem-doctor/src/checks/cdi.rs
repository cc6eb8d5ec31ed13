// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CDI specification, by which docker, podman and containerd know the device.

use super::module;
use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;

/// Where engines look by default.
const FILES: [&str; 2] = ["/run/cdi/ashmem.json", "/etc/cdi/ashmem.json"];

/// Whether there is one, of this boot.
pub(super) struct CdiCheck;

impl Check for CdiCheck {
    fn name(&self) -> &'static str {
        "CDI"
    }

    fn looks_at(&self) -> &'static str {
        "the specification behind `--device android.dev/ashmem=all`: whether it is there, and of \
         this boot"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let present: Vec<_> =
            FILES.iter().filter_map(|file| Some((*file, host.text(file)?))).collect();
        if !module::is_registered(host) {
            return match present.first() {
                None => Finding::absent("none; it is of use with the module only"),
                Some((file, _)) => {
                    Finding::warning(format!("{file} names a device that is not there"))
                        .why("containers that ask for android.dev/ashmem=all do not start")
                        .next("ashmem doctor --mode module")
                }
            };
        }
        let id = host.boot_id().unwrap_or_default();
        match present.iter().find(|(_, text)| !text.contains(&id)) {
            Some((file, _)) => Finding::warning(format!("{file} is of an earlier boot"))
                .why(
                    "containers get the second name of that boot, which Android 16 does not look \
                     for",
                )
                .next(format!("sudo ashmem cdi --output {file}")),
            None if present.is_empty() => {
                let engine = ["docker", "podman", "containerd", "crio"]
                    .iter()
                    .find(|engine| host.program(engine).is_some());
                match engine {
                    None => Finding::absent("none, and no engine that would read it"),
                    Some(engine) => Finding::warning(format!(
                        "none, so {engine} does not know android.dev/ashmem"
                    ))
                    .why(
                        "without it a container gets one name only (--device /dev/ashmem), and \
                         Android 16 wants the other",
                    )
                    .next("sudo ashmem cdi --output /run/cdi/ashmem.json"),
                }
            }
            None => Finding::ok(format!("{} is of this boot", present[0].0)),
        }
    }
}
