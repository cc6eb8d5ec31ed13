// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running kernel.

use crate::board::Board;
use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;
use crate::{Host, kernel_release};

/// The oldest kernel that `ashmem run` and the agent are made for.
const OLDEST: (u32, u32) = (5, 14);

/// Its version, and whose it is.
pub(super) struct KernelCheck;

impl Check for KernelCheck {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn looks_at(&self) -> &'static str {
        "the running kernel's version and processor; whether it is WSL's; whether this is a \
         container"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let release = host.kernel();
        let mut summary = format!("Linux {release}, {}", std::env::consts::ARCH);
        if let Some(board) = Board::of(&release) {
            summary.push_str(&format!(", {}", board.kernels()));
        }
        if let Some(kind) = host.container() {
            summary.push_str(&format!(", in a container ({kind})"));
        }
        let Some(version) = kernel_release::version(&release) else {
            return Finding::warning(summary).why(
                "its version cannot be read from its release, so nothing is known of its age",
            );
        };
        let is_wsl = release.to_lowercase().contains("microsoft");
        if version < OLDEST {
            return Finding::warning(summary).why(
                "`ashmem run` and `ashmem agent` want Linux 5.14 or newer (5.9 at least); the \
                 module is made for 5.10 and newer",
            );
        }
        if is_wsl {
            return Finding::warning(summary)
                .why("WSL's kernel takes no modules of others; `ashmem run` needs none")
                .next("ashmem run -- PROGRAM");
        }
        Finding::ok(summary)
    }
}
