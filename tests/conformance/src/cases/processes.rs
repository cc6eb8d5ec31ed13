// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions shared between processes: fork, exec, descriptors over a socket.

use std::os::fd::FromRawFd;
use std::process::{Command, Stdio};

use ashmem_core::abi::{IS_UNPINNED, NOT_PURGED};

use super::run;
use crate::case::{Case, Stop, Verdict, equal, failed, refused};
use crate::process::{Child, Link};
use ashmem_test_client::map::{R, page_size, page_size32};
use ashmem_test_client::region::Region;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "processes.fork-shares-the-region",
        &["OPEN-04"],
        "After fork both processes have the same region: name, size, mask, pins",
        |env| {
            let region = env.open()?;
            Child::start(|_| {
                region.set_name(c"from the child")?;
                region.set_size(2 * page_size() as u64)?;
                region.set_mask(3)?;
                region.share(2 * page_size())?.store(page_size(), 6)?;
                region.unpin(0, page_size32())?;
                Ok(())
            })?
            .join()?;
            equal("GET_NAME", region.name()?, b"from the child".to_vec())?;
            equal("GET_SIZE", region.size()?, 2 * page_size() as i64)?;
            equal("GET_PROT_MASK", region.mask()?, 3)?;
            equal("GET_PIN_STATUS", region.status(0, 0)?, IS_UNPINNED)?;
            equal("the byte", region.share(2 * page_size())?.load(page_size())?, 6)
        },
    )
    .differs(&[run::FAST_COPIES]),
    Case::new(
        "processes.fork-mask-binds-both",
        &["LIB-05", "OPEN-04", "PROT-02"],
        "A mask reduced in the child refuses the parent's mmap and mask",
        |env| {
            let region = env.region(4096)?;
            Child::start(|_| Ok(region.set_mask(1).map(|_| ())?))?.join()?;
            refused("mmap", region.share(page_size()), libc::EPERM)?;
            refused("SET_PROT_MASK", region.set_mask(3), libc::EINVAL)
        },
    ),
    Case::new(
        "processes.fork-position",
        &["OPEN-04", "READ-03"],
        "The position of read is shared over fork",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"abcd")?;
            Child::start(|_| equal("the child's read", region.read(2)?, b"ab".to_vec()))?.join()?;
            equal("the parent's read", region.read(2)?, b"cd".to_vec())
        },
    ),
    Case::new(
        "processes.outlives-creator",
        &["CLI-10", "OPEN-07", "OPEN-10", "MMAP-26"],
        "A region lives on in a child whose parent is gone",
        |env| {
            let (here, there) = Link::pair()?;
            let creator = Child::start(|_| {
                let (region, map) = env.mapped(4096)?;
                map.write(0, b"legacy")?;
                there.send_fd(region.fd())?;
                Ok(())
            })?;
            let region = here.receive_fd()?;
            creator.join()?;
            equal("the bytes", region.share(page_size())?.read(0, 6)?, b"legacy".to_vec())?;
            equal("GET_SIZE", region.size()?, 4096)
        },
    ),
    Case::new(
        "processes.killed-holder",
        &["OPEN-10"],
        "A process killed while it maps, unpins and holds a region leaves it to the others",
        |env| {
            let (region, map) = env.mapped(2 * page_size() as u64)?;
            let child = Child::start(|link| {
                region.unpin(0, page_size32())?;
                map.store(page_size(), 5)?;
                link.go()?;
                link.wait()
            })?;
            child.link.wait()?;
            drop(child);
            equal("GET_PIN_STATUS", region.status(0, page_size32())?, IS_UNPINNED)?;
            equal("PIN", region.pin(0, page_size32())?, NOT_PURGED)?;
            equal("the byte", map.load(page_size())?, 5)
        },
    ),
    Case::new(
        "processes.exit-drops-unpinned",
        &["OPEN-08", "OPEN-10"],
        "The exit of the last holder takes its unpinned pages out of the purge",
        |env| {
            env.purge()?;
            Child::start(|_| {
                let (region, map) = env.mapped(16 * page_size() as u64)?;
                map.touch(1)?;
                region.unpin(0, 0)?;
                map.leak();
                std::mem::forget(region);
                Ok(())
            })?
            .join()?;
            equal("PURGE_ALL_CACHES", env.purge()?, 0)
        },
    ),
    Case::new(
        "processes.socket",
        &["OPEN-04"],
        "A descriptor received over a socket is the sender's region",
        |env| {
            let region = env.region(2 * page_size() as u64)?;
            region.set_name(c"sent")?;
            let map = region.share(2 * page_size())?;
            map.write(page_size(), b"hello")?;
            let child = Child::start(|link| {
                let got = link.receive_fd()?;
                equal("GET_NAME", got.name()?, b"sent".to_vec())?;
                equal("GET_SIZE", got.size()?, 2 * page_size() as i64)?;
                let theirs = got.share(2 * page_size())?;
                equal("the bytes", theirs.read(page_size(), 5)?, b"hello".to_vec())?;
                theirs.write(0, b"answer")?;
                got.unpin(page_size32(), 0)?;
                Ok(())
            })?;
            child.link.send_fd(region.fd())?;
            child.join()?;
            equal("the answer", map.read(0, 6)?, b"answer".to_vec())?;
            equal("GET_PIN_STATUS", region.status(page_size32(), page_size32())?, IS_UNPINNED)
        },
    ),
    Case::new(
        "processes.socket-mask-binds-sender",
        &["OPEN-04"],
        "A mask reduced by the receiver binds the sender",
        |env| {
            let region = env.region(4096)?;
            let child = Child::start(|link| {
                link.receive_fd()?.set_mask(1)?;
                Ok(())
            })?;
            child.link.send_fd(region.fd())?;
            child.join()?;
            refused("mmap", region.share(page_size()), libc::EPERM)
        },
    ),
    Case::new(
        "processes.socket-before-first-mmap",
        &["OPEN-04", "MMAP-10"],
        "The receiver's mmap may be the first: it fixes the sender's size",
        |env| {
            let region = env.region(4096)?;
            let child =
                Child::start(|link| Ok(link.receive_fd()?.share(page_size())?.store(1, 2)?))?;
            child.link.send_fd(region.fd())?;
            child.join()?;
            refused("SET_SIZE", region.set_size(8192), libc::EINVAL)?;
            equal("the byte", region.share(page_size())?.load(1)?, 2)
        },
    ),
    Case::new(
        "processes.in-flight",
        &["OPEN-04", "OPEN-07"],
        "A region whose only descriptor is inside a socket lives until it is received",
        |env| {
            let (one, two) = Link::pair()?;
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"in flight")?;
            one.send_fd(region.fd())?;
            drop((region, map));
            equal(
                "the bytes",
                two.receive_fd()?.share(page_size())?.read(0, 9)?,
                b"in flight".to_vec(),
            )
        },
    ),
    Case::new(
        "processes.exec-keeps-inherited",
        &["OPEN-04", "OPEN-10"],
        "A descriptor without O_CLOEXEC is the same region after exec",
        |env| {
            let region = env.open_with(libc::O_RDWR)?;
            region.set_name(c"through exec")?;
            region.set_size(12_345)?;
            region.set_mask(5)?;
            equal(
                "what the new program sees",
                after_exec(&region)?.as_str(),
                "name=through exec size=12345 mask=5",
            )
        },
    ),
    Case::new(
        "processes.exec-closes-cloexec",
        &["OPEN-10"],
        "O_CLOEXEC closes the descriptor at exec",
        |env| equal("what the new program sees", after_exec(&env.open()?)?.as_str(), "EBADF"),
    ),
    Case::new(
        "processes.exec-drops-mappings",
        &["OPEN-10", "OPEN-08"],
        "exec drops mappings and close-on-exec descriptors: their pages leave the purge",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(8 * page_size() as u64)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            let holder = Child::start(|link| {
                let theirs = link.receive_fd()?;
                link.go()?;
                let error = exec_sleep();
                drop(theirs);
                failed(format!("exec: {error}"))
            })?;
            holder.link.send_fd(region.fd())?;
            holder.link.wait()?;
            wait_for_exec(&holder)?;
            drop((region, map));
            equal("PURGE_ALL_CACHES", env.purge()?, 0)
        },
    ),
    Case::new(
        "processes.three-mappers",
        &["MMAP-11", "MMAP-26"],
        "Three processes count in turn in one mapping",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            let children: Vec<_> = (0..3_usize)
                .map(|own| {
                    let map = &map;
                    Child::start(move |_| {
                        for round in 0..100_usize {
                            while usize::from(map.load(0)?) != (round * 3 + own) % 251 {
                                std::thread::yield_now();
                            }
                            map.store(0, ((round * 3 + own + 1) % 251) as u8)?;
                        }
                        Ok(())
                    })
                })
                .collect::<Result<_, _>>()?;
            children.into_iter().try_for_each(Child::join)?;
            equal("the count", map.load(0)?, (300 % 251) as u8)
        },
    ),
    Case::new(
        "processes.fork-read-only-child",
        &["OPEN-04", "PROT-06", "MMAP-08"],
        "A child that inherits a writable mapping keeps it when the mask is reduced",
        |env| {
            let (region, map) = env.mapped(4096)?;
            region.set_mask(1)?;
            Child::start(|_| Ok(map.store(0, 3)?))?.join()?;
            equal("the byte", region.map(page_size(), R, libc::MAP_SHARED, 0)?.load(0)?, 3)
        },
    ),
    Case::new(
        "processes.vfork-many",
        &["OPEN-04", "MMAP-26"],
        "A hundred children in turn write their byte",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            for i in 0..100 {
                Child::start(|_| Ok(map.store(i, i as u8)?))?.join()?;
            }
            equal("the bytes", map.read(0, 100)?, (0..100).collect::<Vec<u8>>())
        },
    ),
    Case::new(
        "processes.fcntl-locks",
        &["CLI-09", "OPEN-04"],
        "Record locks on a region's descriptor hold between processes",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            record_lock(&region, libc::F_WRLCK)?;
            Child::start(|_| {
                let got = record_lock(&region, libc::F_WRLCK);
                match got {
                    Err(Stop::Failed(why)) if why.contains("EAGAIN") => Ok(()),
                    other => failed(format!(
                        "a second lock: expected EAGAIN, got {}",
                        if other.is_ok() { "it" } else { "another error" }
                    )),
                }
            })?
            .join()?;
            record_lock(&region, libc::F_UNLCK)?;
            Child::start(|_| record_lock(&region, libc::F_WRLCK))?.join()
        },
    ),
    Case::new(
        "processes.o-cloexec",
        &["LIB-02", "OPEN-02"],
        "FD_CLOEXEC is as asked for at open and can be changed",
        |env| {
            equal(
                "with O_CLOEXEC",
                env.open()?.fcntl(libc::F_GETFD, 0)?,
                i64::from(libc::FD_CLOEXEC),
            )?;
            let plain = env.open_with(libc::O_RDWR)?;
            equal("without", plain.fcntl(libc::F_GETFD, 0)?, 0)?;
            plain.fcntl(libc::F_SETFD, libc::FD_CLOEXEC.into())?;
            equal("set later", plain.fcntl(libc::F_GETFD, 0)?, i64::from(libc::FD_CLOEXEC))
        },
    ),
    Case::new(
        "processes.open-flags",
        &["OPEN-02", "NUM-20"],
        "F_GETFL gives the open mode back",
        |env| {
            for mode in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR] {
                let got = env.open_with(mode)?.fcntl(libc::F_GETFL, 0)?;
                equal("the mode", got as i32 & libc::O_ACCMODE, mode)?;
            }
            Ok(())
        },
    ),
];

/// What [`inspect`] says in a new program that inherits this process's descriptors.
fn after_exec(region: &Region) -> Result<String, Stop> {
    let output = Command::new("/proc/self/exe")
        .args(["--provider", "reference", "--inspect", &region.fd().to_string()])
        .stdin(Stdio::null())
        .output()
        .or_else(|error| failed(format!("running this program again: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().into())
}

/// Describes an inherited descriptor in one line, for the cases about exec.
pub(crate) fn inspect(fd: i32) -> String {
    // SAFETY: the number names an inherited descriptor or none; it is given up again below and
    // nothing else uses it.
    let region: Region = unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }.into();
    let line = region.name().and_then(|name| {
        let name = String::from_utf8_lossy(&name).into_owned();
        Ok(format!("name={name} size={} mask={}", region.size()?, region.mask()?))
    });
    // A number that names no descriptor must not be closed as one.
    std::mem::forget(region);
    line.unwrap_or_else(|refused| format!("{refused:?}"))
}

/// Replaces the calling process by one that waits to be killed.
fn exec_sleep() -> std::io::Error {
    use std::os::unix::process::CommandExt;
    Command::new("/proc/self/exe").args(["--provider", "reference", "--inspect", "-1"]).exec()
}

/// Waits until a child has replaced itself.
fn wait_for_exec(child: &Child) -> Verdict {
    for _ in 0..5000 {
        let line = std::fs::read(format!("/proc/{}/cmdline", child.pid())).unwrap_or_default();
        if line.windows(9).any(|word| word == b"--inspect") {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    failed("the other process did not exec within 5 s")
}

fn record_lock(region: &Region, kind: i32) -> Verdict {
    // SAFETY: an all-zero flock is a valid one.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_len = 100;
    region.fcntl(libc::F_SETLK, &raw mut lock as i64)?;
    Ok(())
}
