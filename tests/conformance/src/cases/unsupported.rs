// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that a region does not answer.

use super::run;
use crate::case::{Case, equal, refused};
use crate::process::Link;
use ashmem_test_client::errno::answer;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "unsupported.write",
        &["UNS-01"],
        "write, pwrite and writev are EINVAL, mapped or not",
        |env| {
            let fresh = env.region(4096)?;
            let (mapped, map) = env.mapped(4096)?;
            for region in [&fresh, &mapped] {
                refused("write", region.write(b"x"), libc::EINVAL)?;
                // SAFETY: the buffer has the one byte said.
                let got = unsafe { libc::pwrite(region.fd(), b"x".as_ptr().cast(), 1, 0) };
                refused("pwrite", answer("pwrite", got as i64), libc::EINVAL)?;
                let vector = libc::iovec { iov_base: b"x".as_ptr().cast_mut().cast(), iov_len: 1 };
                // SAFETY: one iovec over one byte that is only read.
                let got = unsafe { libc::writev(region.fd(), &vector, 1) };
                refused("writev", answer("writev", got as i64), libc::EINVAL)?;
            }
            equal("the byte", map.load(0)?, 0)
        },
    )
    .differs(&[run::KERNEL_WRITES]),
    Case::new(
        "unsupported.write-read-only",
        &["UNS-01"],
        "write on a descriptor opened read-only is EBADF",
        |env| refused("write", env.open_with(libc::O_RDONLY)?.write(b"x"), libc::EBADF),
    ),
    Case::new(
        "unsupported.ftruncate",
        &["UNS-02"],
        "ftruncate is EINVAL and the size stays",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            // SAFETY: ftruncate touches no memory of ours.
            let got = unsafe { libc::ftruncate(region.fd(), 8192) };
            refused("ftruncate", answer("ftruncate", got.into()), libc::EINVAL)?;
            equal("GET_SIZE", region.size()?, 4096)
        },
    )
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new(
        "unsupported.fallocate",
        &["UNS-03"],
        "fallocate, punching a hole too, is ENODEV",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            for mode in [0, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE] {
                // SAFETY: fallocate touches no memory of ours.
                let got = unsafe { libc::fallocate(region.fd(), mode, 0, 4096) };
                refused("fallocate", answer("fallocate", got.into()), libc::ENODEV)?;
            }
            equal("the byte", map.load(0)?, 1)
        },
    )
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new("unsupported.fsync", &["UNS-04"], "fsync and fdatasync are EINVAL", |env| {
        let (region, _map) = env.mapped(4096)?;
        // SAFETY: neither call touches memory of ours.
        let (sync, data) = unsafe { (libc::fsync(region.fd()), libc::fdatasync(region.fd())) };
        refused("fsync", answer("fsync", sync.into()), libc::EINVAL)?;
        refused("fdatasync", answer("fdatasync", data.into()), libc::EINVAL)
    })
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new(
        "unsupported.poll",
        &["UNS-05"],
        "poll says ready at once, for reading and writing",
        |env| {
            let region = env.open()?;
            let mut poll =
                libc::pollfd { fd: region.fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
            // SAFETY: one pollfd is passed as one.
            equal("poll", answer("poll", unsafe { libc::poll(&mut poll, 1, 1000) }.into())?, 1)?;
            equal("what is ready", poll.revents, libc::POLLIN | libc::POLLOUT)
        },
    ),
    Case::new("unsupported.epoll", &["UNS-05"], "epoll takes no region: EPERM", |env| {
        let region = env.open()?;
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: the event outlives the call; the epoll descriptor goes with the process.
        let got = unsafe {
            let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, region.fd(), &mut event)
        };
        refused("epoll_ctl", answer("epoll_ctl", got.into()), libc::EPERM)
    }),
    Case::new(
        "unsupported.splice",
        &["UNS-06"],
        "splice and sendfile from a region are EINVAL",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"spliced")?;
            let mut pipe = [0; 2];
            // SAFETY: the array has room for the two descriptors, which go with the process.
            answer("pipe", unsafe { libc::pipe(pipe.as_mut_ptr()) }.into())?;
            let null = std::ptr::null_mut;
            // SAFETY: null offsets are allowed and mean the descriptors' own positions.
            let (splice, send) = unsafe {
                (
                    libc::splice(region.fd(), null(), pipe[1], null(), 7, libc::SPLICE_F_NONBLOCK),
                    answer("sendfile", libc::sendfile(pipe[1], region.fd(), null(), 7) as i64),
                )
            };
            refused("sendfile", send, libc::EINVAL)?;
            equal("splice", splice, -1)
        },
    )
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new(
        "unsupported.sendfile-to-socket",
        &["UNS-06"],
        "sendfile from a region into a socket is EINVAL",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            let (one, _two) = Link::pair()?;
            // SAFETY: a null offset means the descriptor's own position.
            let got = unsafe { libc::sendfile(one.fd(), region.fd(), std::ptr::null_mut(), 16) };
            refused("sendfile", answer("sendfile", got as i64), libc::EINVAL)
        },
    )
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new(
        "unsupported.copy-file-range",
        &["UNS-06"],
        "copy_file_range from a region is EINVAL",
        |env| {
            let ((from, _a), (to, _b)) = (env.mapped(4096)?, env.mapped(4096)?);
            let null = std::ptr::null_mut;
            // SAFETY: null offsets mean the descriptors' own positions.
            let got = unsafe { libc::copy_file_range(from.fd(), null(), to.fd(), null(), 16, 0) };
            refused("copy_file_range", answer("copy_file_range", got as i64), libc::EINVAL)
        },
    )
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new(
        "unsupported.seals",
        &["UNS-07"],
        "Seals can neither be read nor added: EINVAL",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            refused("F_GET_SEALS", region.fcntl(libc::F_GET_SEALS, 0), libc::EINVAL)?;
            refused(
                "F_ADD_SEALS",
                region.fcntl(libc::F_ADD_SEALS, libc::F_SEAL_WRITE.into()),
                libc::EINVAL,
            )
        },
    )
    .differs(&[run::FAST_FILE_CALLS]),
    Case::new(
        "unsupported.terminal-ioctls",
        &["NUM-14"],
        "The terminal's ioctls, which programs try on anything, are ENOTTY",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            let mut out = 0_u64;
            for cmd in [libc::FIONREAD as u32, libc::TCGETS as u32] {
                refused(
                    &format!("{cmd:#x}"),
                    region.ioctl("terminal", cmd, &raw mut out as u64),
                    libc::ENOTTY,
                )?;
            }
            Ok(())
        },
    )
    .differs(&[run::OTHER_IOCTLS]),
];
