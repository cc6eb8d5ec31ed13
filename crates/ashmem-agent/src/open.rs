//! Opens of the device.

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::device::Device;
use crate::filter::Fidelity;
use crate::origin::{Kind, Origin, Outcome};
use crate::region::Holder;
use crate::target::Target;

impl Origin {
    /// open(2) and its brothers.
    pub(crate) fn open(&mut self, target: &Target<'_>, dir: i32, path: &[u8], flags: OFlags) -> Outcome {
        if flags.contains(OFlags::PATH) {
            return Outcome::CONTINUE;
        }
        if !self.device.is_at(target.tid(), dir, path) && !self.is_region_again(target, path) {
            return Outcome::CONTINUE;
        }
        if flags.contains(OFlags::DIRECTORY) {
            return Outcome::errno(Errno::NOTDIR);
        }
        if flags.contains(OFlags::CREATE | OFlags::EXCL) {
            return Outcome::errno(Errno::EXIST);
        }
        // Its number in the caller is not known yet; the first request tells.
        let holder = Holder { tid: target.tid(), fd: -1 };
        match self.create(holder, flags, b"") {
            Ok((fd, _)) => Outcome::Open { fd, close_on_exec: flags.contains(OFlags::CLOEXEC) },
            // The agent's limits are not the caller's, so its own table is not what is full.
            Err(Errno::MFILE) => Outcome::errno(Errno::NFILE),
            Err(error) => Outcome::errno(error),
        }
    }

    /// Whether a path names one of the caller's own descriptors, and that is a region: to open it makes a new one
    /// (OPEN-05).
    fn is_region_again(&mut self, target: &Target<'_>, path: &[u8]) -> bool {
        if self.fidelity != Fidelity::Full {
            return false;
        }
        let Some(number) = Device::own_descriptor(target.tid(), path) else { return false };
        self.look(target, number).is_some_and(|held| matches!(held.kind, Kind::Region(_)))
    }
}
