// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel that will boot next.

use super::module;
use crate::check::Check;
use crate::distribution::Distribution;
use crate::finding::Finding;
use crate::module_file::{self, ModuleFile, NAME};
use crate::way::Way;
use crate::{Host, kernel_release};

/// Whether the module is there for it already.
pub(super) struct NextKernelCheck;

impl Check for NextKernelCheck {
    fn name(&self) -> &'static str {
        "next kernel"
    }

    fn looks_at(&self) -> &'static str {
        "whether the module is built for the newest kernel installed, which the next boot will \
         start"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Module]
    }

    fn examine(&self, host: &Host) -> Finding {
        let running = host.kernel();
        let mut installed = kernel_release::installed(host);
        let Some(next) =
            installed.pop().filter(|next| kernel_release::compare(next, &running).is_gt())
        else {
            return Finding::ok("no newer kernel than the running one is installed");
        };
        let is_used = module::is_loaded(host)
            || module::dkms_version(host).is_some()
            || module_file::find(host, &running, NAME).is_some();
        if !is_used {
            return Finding::absent(format!("{next} boots next; the module is not installed"));
        }
        match module_file::find(host, &next, NAME).map(|path| ModuleFile::read(host, &path)) {
            Some(Ok(file)) if file.built_for.as_deref() == Some(next.as_str()) => {
                return Finding::ok(format!("{next} boots next; the module is built for it"));
            }
            Some(Ok(file)) => {
                let other = file.built_for.unwrap_or_else(|| "no kernel".to_owned());
                return Finding::warning(format!(
                    "{next} boots next; the module there was built for {other}"
                ))
                .why("the next boot would refuse it")
                .next(module::rebuild(host, &next));
            }
            Some(Err(error)) => {
                return Finding::warning(format!(
                    "{next} boots next; the module there is damaged: {error}"
                ))
                .why("the next boot could not load it")
                .next(module::rebuild(host, &next));
            }
            None => {}
        }
        let finding =
            Finding::warning(format!("{next} boots next; the module is not built for it"))
                .why("after the next boot there would be no /dev/ashmem");
        if host.has(&format!("/lib/modules/{next}/build")) {
            return finding.next(module::rebuild(host, &next));
        }
        finding
            .next(Distribution::of(host).install_headers(&next))
            .next(format!("sudo dkms autoinstall -k {next}"))
    }
}
