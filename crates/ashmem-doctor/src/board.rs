// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels that are built for boards, phones and single makes of processors: whose they are, how
//! their headers are called, and which of them has small pages.
//!
//! Their releases name them, as their makers' packages do. Some have a driver of ashmem of their
//! own: kernels that come with Android's configuration (`CONFIG_ASHMEM=y`, up to 5.17).

use std::sync::LazyLock;

use regex::Regex;

use crate::Host;

/// Who builds a kernel for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Board {
    /// Raspberry Pi OS's, Ubuntu's for it, others'.
    RaspberryPi,
    /// Rockchip's own tree and those beside it.
    Rockchip,
    /// For Apple's processors.
    Asahi,
    /// Qualcomm's tree, and those of phones with its processors.
    Qualcomm,
    /// Allwinner's.
    Allwinner,
    /// Amlogic's.
    Amlogic,
}

/// What a release says, the particular first.
static RELEASES: LazyLock<Vec<(Regex, Board)>> = LazyLock::new(|| {
    let table = [
        (r"\+rpt\b|[-+]raspi\b|\brpi\b|-v[678]l?(-16k)?\+|bcm27\d\d", Board::RaspberryPi),
        (r"rockchip|\brk3\d\d\d|\brk35xx\b", Board::Rockchip),
        (r"\basahi\b", Board::Asahi),
        (r"\bqcom\b|\bsdm\d{3}\b|\bsm\d{4}\b|\bmsm\d{4}\b|\bsc\d{4}\b", Board::Qualcomm),
        (r"\bsunxi(64)?\b", Board::Allwinner),
        (r"\bmeson(64)?\b", Board::Amlogic),
    ];
    table
        .into_iter()
        .map(|(pattern, board)| (Regex::new(pattern).expect("the pattern is tested"), board))
        .collect()
});

/// Armbian's releases: the branch and the family, as its packages have them.
static ARMBIAN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"-(current|edge|vendor|legacy)-([a-z][a-z0-9]*)$").expect("the pattern is tested")
});

impl Board {
    /// What a kernel of this release is for; `None`: any machine, as far as the release says.
    pub fn of(release: &str) -> Option<Self> {
        RELEASES.iter().find(|(pattern, _)| pattern.is_match(release)).map(|(_, board)| *board)
    }

    /// What its kernels are called.
    pub fn kernels(self) -> &'static str {
        match self {
            Self::RaspberryPi => "a Raspberry Pi kernel",
            Self::Rockchip => "a kernel for Rockchip's processors",
            Self::Asahi => "Asahi's kernel for Apple's processors",
            Self::Qualcomm => "a kernel for Qualcomm's processors",
            Self::Allwinner => "a kernel for Allwinner's processors",
            Self::Amlogic => "a kernel for Amlogic's processors",
        }
    }
}

/// The command that installs the headers of such a kernel, where its package is not called after
/// the release.
pub(crate) fn headers(release: &str) -> Option<String> {
    if let Some(found) = ARMBIAN.captures(release) {
        return Some(format!("sudo apt install linux-headers-{}-{}", &found[1], &found[2]));
    }
    match Board::of(release)? {
        // Before Raspberry Pi OS called its packages as Debian does.
        Board::RaspberryPi if release.ends_with('+') => {
            Some("sudo apt install raspberrypi-kernel-headers".to_owned())
        }
        Board::Asahi if release.contains(".fc") => {
            let version = release.trim_end_matches("+16k");
            Some(format!("sudo dnf install kernel-16k-devel-{version}"))
        }
        Board::Asahi if release.contains("ARCH") => {
            Some("sudo pacman -S linux-asahi-headers".to_owned())
        }
        _ if release.contains("postmarketos") => Some(
            "sudo apk add linux-postmarketos-…-dev   # the device's kernel package: apk info | \
             grep linux-postmarketos"
                .to_owned(),
        ),
        _ => None,
    }
}

/// How a machine gets a kernel with pages of 4 KiB.
pub(crate) fn small_pages(host: &Host) -> String {
    let release = host.kernel();
    let model = host.text("/proc/device-tree/model").unwrap_or_default();
    if Board::of(&release) == Some(Board::RaspberryPi) || model.starts_with("Raspberry Pi") {
        return "# Raspberry Pi OS: a line kernel=kernel8.img in /boot/firmware/config.txt boots \
                its kernel with pages of 4 KiB"
            .to_owned();
    }
    if Board::of(&release) == Some(Board::Asahi) {
        return "# Apple's processors run Linux with pages of 16 KiB: take an image for them, or a \
                virtual machine with pages of 4 KiB (muvm)"
            .to_owned();
    }
    let flavours = [
        ("arm64-16k", "sudo apt install linux-image-arm64   # and boot that kernel"),
        ("generic-64k", "sudo apt install linux-image-generic   # and boot that kernel"),
        ("+16k", "sudo dnf install kernel   # and boot that kernel"),
        ("+64k", "sudo dnf install kernel   # and boot that kernel"),
    ];
    let known = flavours.iter().find(|(flavour, _)| release.ends_with(flavour));
    known
        .map_or("# boot a kernel with 4 KiB pages, or use an image built for this size", |found| {
            found.1
        })
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Board, headers};

    #[test]
    fn a_release_tells_the_board() {
        for (release, board) in [
            ("6.6.51+rpt-rpi-2712", Some(Board::RaspberryPi)),
            ("6.1.21-v8+", Some(Board::RaspberryPi)),
            ("6.12.25-v8-16k+", Some(Board::RaspberryPi)),
            ("6.8.0-1018-raspi", Some(Board::RaspberryPi)),
            ("6.1.43-vendor-rk35xx", Some(Board::Rockchip)),
            ("5.10.110-rockchip-rk3588", Some(Board::Rockchip)),
            ("6.12.20-current-rockchip64", Some(Board::Rockchip)),
            ("6.14.2-401.asahi.fc42.aarch64+16k", Some(Board::Asahi)),
            ("6.14.4-asahi-1-edge-ARCH", Some(Board::Asahi)),
            ("6.8.0-1018-qcom", Some(Board::Qualcomm)),
            ("6.9.3-sdm845", Some(Board::Qualcomm)),
            ("6.6.0-postmarketos-qcom-msm8916", Some(Board::Qualcomm)),
            ("6.12.20-current-sunxi64", Some(Board::Allwinner)),
            ("6.12.20-current-meson64", Some(Board::Amlogic)),
            ("6.1.0-28-arm64", None),
            ("6.12.9-arm64-16k", None),
            ("6.1.0-28-amd64", None),
            ("6.13.2-2-cachyos", None),
        ] {
            assert_eq!(Board::of(release), board, "{release}");
        }
    }

    #[test]
    fn headers_are_called_as_their_makers_call_them() {
        for (release, words) in [
            ("6.1.43-vendor-rk35xx", Some("linux-headers-vendor-rk35xx")),
            ("6.12.20-current-rockchip64", Some("linux-headers-current-rockchip64")),
            ("6.1.21-v8+", Some("raspberrypi-kernel-headers")),
            (
                "6.14.2-401.asahi.fc42.aarch64+16k",
                Some("kernel-16k-devel-6.14.2-401.asahi.fc42.aarch64"),
            ),
            ("6.14.4-asahi-1-edge-ARCH", Some("linux-asahi-headers")),
            ("6.6.0-postmarketos-qcom-msm8916", Some("linux-postmarketos-")),
            // Called after the release, as Debian's and Ubuntu's are.
            ("6.6.51+rpt-rpi-2712", None),
            ("6.8.0-1018-raspi", None),
            ("6.1.0-28-arm64", None),
        ] {
            let command = headers(release);
            assert_eq!(command.is_some(), words.is_some(), "{release}");
            assert!(command.unwrap_or_default().contains(words.unwrap_or_default()), "{release}");
        }
    }
}
