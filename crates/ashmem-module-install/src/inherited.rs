// SPDX-License-Identifier: MIT OR Apache-2.0
//! Descriptors that this program was started with.
//!
//! A program that it runs must not have them: DKMS leaves a `sleep` of three seconds behind, and
//! with an open device in it the module stays in use for as long.

use std::os::fd::RawFd;

/// Has them closed in every program that is run from here (fcntl(2), `FD_CLOEXEC`). Standard
/// input, output and error stay, and so do all where no `/proc` tells them.
pub(crate) fn keep_from_programs() {
    let numbers = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: no memory is passed, and no descriptor is closed here; one that was closed since
        // it was listed gives EBADF.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use ashmem_doctor::Host;

    use crate::machine::TargetMachine;

    #[test]
    fn a_program_has_none_of_them() {
        let machine = TargetMachine::new(Host::here(), true);
        // A copy by dup(2) stays open in a program that is run; files of Rust's do not.
        let inherited = rustix::io::dup(std::fs::File::open("/dev/null").unwrap()).unwrap();
        let script = format!("[ ! -e /proc/self/fd/{} ] && echo closed", inherited.as_raw_fd());
        let printed = machine.run("sh", &["-c", &script]).unwrap();
        assert_eq!(printed.text, "closed\n");
    }
}
