// SPDX-License-Identifier: MIT OR Apache-2.0
//! stat(2), statx(2) and access(2) of the device, in the caller's own structures.

use rustix::io::Errno;

use crate::emulation::Tenant;
use crate::emulation::outcome::Outcome;
use crate::notification::Answer;
use crate::seccomp::syscalls::Layout;
use crate::target_thread::Target;

impl Tenant {
    /// Refuses a call with this errno if one of its descriptors is a region; the kernel runs it on
    /// any other.
    pub(crate) fn refuse(&self, target: &Target<'_>, descriptors: &[i32], errno: Errno) -> Outcome {
        if descriptors.iter().any(|fd| self.is_region(target, *fd)) {
            Outcome::errno(errno)
        } else {
            Outcome::CONTINUE
        }
    }

    /// stat(2) of the device.
    pub(crate) fn stat(&self, address: u64, layout: Layout) -> Outcome {
        Outcome::Write { address, bytes: bytes_of(&self.device.stat(), layout) }
    }

    /// statx(2) of the device.
    pub(crate) fn statx(&self, address: u64) -> Outcome {
        Outcome::Write { address, bytes: statx_bytes(&self.device.stat()) }
    }

    /// access(2) of the device: any user may read and write it, none execute it.
    pub(crate) fn access(&self, mode: u32) -> Outcome {
        match mode {
            mode if mode & !7 != 0 => Outcome::errno(Errno::INVAL),
            mode if mode & libc::X_OK as u32 != 0 => Outcome::errno(Errno::ACCESS),
            _ => Outcome::Answer(Answer::Value(0)),
        }
    }
}

/// Writes fields one after the other, as the kernel lays them out.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u16(&mut self, value: impl TryInto<i128>) -> &mut Self {
        self.low(value, 2)
    }

    fn u32(&mut self, value: impl TryInto<i128>) -> &mut Self {
        self.low(value, 4)
    }

    fn u64(&mut self, value: impl TryInto<i128>) -> &mut Self {
        self.low(value, 8)
    }

    /// The low bytes of a value, in the machine's order.
    fn low(&mut self, value: impl TryInto<i128>, count: usize) -> &mut Self {
        let value = value.try_into().unwrap_or_default() as u64;
        let bytes = value.to_ne_bytes();
        let low =
            if cfg!(target_endian = "little") { &bytes[..count] } else { &bytes[8 - count..] };
        self.0.extend_from_slice(low);
        self
    }
}

fn bytes_of(stat: &libc::stat, layout: Layout) -> Vec<u8> {
    let mut out = Writer::default();
    let times = [
        (stat.st_atime, stat.st_atime_nsec),
        (stat.st_mtime, stat.st_mtime_nsec),
        (stat.st_ctime, stat.st_ctime_nsec),
    ];
    match layout {
        Layout::X86_64 => {
            out.u64(stat.st_dev).u64(stat.st_ino).u64(stat.st_nlink);
            out.u32(stat.st_mode).u32(stat.st_uid).u32(stat.st_gid).u32(0);
            out.u64(stat.st_rdev).u64(stat.st_size).u64(stat.st_blksize).u64(stat.st_blocks);
            times.iter().for_each(|(seconds, nanos)| {
                out.u64(*seconds).u64(*nanos);
            });
            out.u64(0).u64(0).u64(0);
        }
        Layout::Generic => {
            out.u64(stat.st_dev).u64(stat.st_ino).u32(stat.st_mode).u32(stat.st_nlink);
            out.u32(stat.st_uid).u32(stat.st_gid).u64(stat.st_rdev).u64(0);
            out.u64(stat.st_size).u32(stat.st_blksize).u32(0).u64(stat.st_blocks);
            times.iter().for_each(|(seconds, nanos)| {
                out.u64(*seconds).u64(*nanos);
            });
            out.u32(0).u32(0);
        }
        Layout::I386Wide => {
            out.u64(stat.st_dev).u32(0).u32(stat.st_ino).u32(stat.st_mode).u32(stat.st_nlink);
            out.u32(stat.st_uid).u32(stat.st_gid).u64(stat.st_rdev).u32(0);
            out.u64(stat.st_size).u32(stat.st_blksize).u64(stat.st_blocks);
            times.iter().for_each(|(seconds, nanos)| {
                out.u32(*seconds).u32(*nanos);
            });
            out.u64(stat.st_ino);
        }
        Layout::ArmWide => {
            out.u64(stat.st_dev).u32(0).u32(stat.st_ino).u32(stat.st_mode).u32(stat.st_nlink);
            out.u32(stat.st_uid).u32(stat.st_gid).u64(stat.st_rdev).u64(0);
            out.u64(stat.st_size).u32(stat.st_blksize).u32(0).u64(stat.st_blocks);
            times.iter().for_each(|(seconds, nanos)| {
                out.u32(*seconds).u32(*nanos);
            });
            out.u64(stat.st_ino);
        }
        Layout::I386 => {
            out.u32(stat.st_dev).u32(stat.st_ino).u16(stat.st_mode).u16(stat.st_nlink);
            out.u16(stat.st_uid).u16(stat.st_gid).u32(stat.st_rdev);
            out.u32(stat.st_size).u32(stat.st_blksize).u32(stat.st_blocks);
            times.iter().for_each(|(seconds, nanos)| {
                out.u32(*seconds).u32(*nanos);
            });
            out.u32(0).u32(0);
        }
    }
    out.0
}

/// `struct statx`, the same on every architecture; the basic fields.
fn statx_bytes(stat: &libc::stat) -> Vec<u8> {
    const SIZE: usize = 256;
    let mut out = Writer::default();
    out.u32(libc::STATX_BASIC_STATS).u32(stat.st_blksize).u64(0);
    out.u32(stat.st_nlink).u32(stat.st_uid).u32(stat.st_gid).u16(stat.st_mode).u16(0);
    out.u64(stat.st_ino).u64(stat.st_size).u64(stat.st_blocks).u64(0);
    out.u64(stat.st_atime).u32(stat.st_atime_nsec).u32(0);
    out.u64(0).u64(0);
    out.u64(stat.st_ctime).u32(stat.st_ctime_nsec).u32(0);
    out.u64(stat.st_mtime).u32(stat.st_mtime_nsec).u32(0);
    out.u32(libc::major(stat.st_rdev)).u32(libc::minor(stat.st_rdev));
    out.u32(libc::major(stat.st_dev)).u32(libc::minor(stat.st_dev));
    out.0.resize(SIZE, 0);
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_are_as_long_as_the_kernels() {
        // SAFETY: an all-zero stat is a valid one.
        let stat = unsafe { std::mem::zeroed() };
        let sizes = [
            (Layout::X86_64, 144),
            (Layout::Generic, 128),
            (Layout::I386Wide, 96),
            (Layout::ArmWide, 104),
            (Layout::I386, 64),
        ];
        for (layout, size) in sizes {
            assert_eq!(bytes_of(&stat, layout).len(), size, "{layout:?}");
        }
        assert_eq!(statx_bytes(&stat).len(), size_of::<libc::statx>());
    }

    #[test]
    fn the_machines_own_structure_comes_out_as_the_kernel_wrote_it() {
        // SAFETY: an all-zero stat is a valid one, which the call then fills.
        let stat = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            assert_eq!(libc::stat(c"/dev/null".as_ptr(), &mut stat), 0);
            stat
        };
        // SAFETY: the structure is plain integers without padding that matters here.
        let raw = unsafe {
            std::slice::from_raw_parts((&raw const stat).cast::<u8>(), size_of_val(&stat))
        };
        let own = if cfg!(target_arch = "x86_64") { Layout::X86_64 } else { Layout::Generic };
        assert_eq!(bytes_of(&stat, own), raw);
    }
}
