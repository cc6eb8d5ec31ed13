// SPDX-License-Identifier: MIT OR Apache-2.0
//! PURGE_ALL_CACHES: who may, and what it counts.

use ashmem_core::abi::{NOT_PURGED, WAS_PURGED};

use crate::case::{Case, equal, refused, skip};
use crate::process::{apart, is_root, unprivileged};
use ashmem_test_client::map::{page_size, page_size32};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "purge.unprivileged",
        &["PURGE-01"],
        "PURGE_ALL_CACHES without CAP_SYS_ADMIN is EPERM and purges nothing",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.unpin(0, 0)?;
            unprivileged(|| refused("PURGE_ALL_CACHES", region.purge(), libc::EPERM))?;
            equal("the byte", map.load(0)?, 1)?;
            equal("PIN", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "purge.user-namespace",
        &["PURGE-01"],
        "Root of a user namespace of its own is EPERM too",
        |env| {
            let region = env.open()?;
            unprivileged(|| {
                // SAFETY: unshare touches no memory.
                if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
                    return skip(format!(
                        "no user namespace may be made here: {}",
                        std::io::Error::last_os_error()
                    ));
                }
                refused("PURGE_ALL_CACHES", region.purge(), libc::EPERM)
            })
        },
    ),
    Case::new(
        "purge.dropped-capability",
        &["PURGE-01"],
        "Root without CAP_SYS_ADMIN is EPERM",
        |env| {
            if !is_root() {
                return skip("not root: there is no capability to drop");
            }
            let region = env.open()?;
            apart(|| {
                drop_sys_admin()?;
                refused("PURGE_ALL_CACHES", region.purge(), libc::EPERM)
            })
        },
    ),
    Case::new(
        "purge.count",
        &["PURGE-02", "SHR-01"],
        "PURGE_ALL_CACHES returns how many pages were unpinned in all regions",
        |env| {
            env.purge()?;
            let ((one, _a), (two, _b)) =
                (env.mapped(8 * page_size() as u64)?, env.mapped(3 * page_size() as u64)?);
            one.unpin(page_size32(), 4 * page_size32())?;
            one.unpin(7 * page_size32(), 0)?;
            two.unpin(0, 0)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 4 + 1 + 3)?;
            equal("PIN of the first", one.pin(0, 0)?, WAS_PURGED)?;
            equal("PIN of the second", two.pin(0, 0)?, WAS_PURGED)
        },
    ),
    Case::new(
        "purge.count-never-touched",
        &["PURGE-02"],
        "Pages count whether or not they were ever touched",
        |env| {
            env.purge()?;
            let (region, _map) = env.mapped(100 * page_size() as u64)?;
            region.unpin(0, 0)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 100)?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)
        },
    ),
    Case::new("purge.nothing", &["PURGE-03"], "With nothing unpinned it returns 0", |env| {
        env.purge()?;
        let (region, map) = env.mapped(4096)?;
        map.store(0, 1)?;
        equal("PURGE_ALL_CACHES", env.purge()?, 0)?;
        equal("PIN", region.pin(0, 0)?, NOT_PURGED)?;
        equal("the byte", map.load(0)?, 1)
    }),
    Case::new(
        "purge.twice",
        &["PURGE-04", "BUG-16"],
        "The second of two purges returns 0",
        |env| {
            env.purge()?;
            let (region, _map) = env.mapped(4096)?;
            region.unpin(0, 0)?;
            equal("the first", env.purge()?, 1)?;
            equal("the second", env.purge()?, 0)
        },
    ),
    Case::new(
        "purge.any-descriptor",
        &["PURGE-06", "PURGE-02"],
        "It works on a descriptor without size, and on a region's own",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.unpin(0, 0)?;
            equal("on its own", region.purge()?, 1)?;
            equal("the byte", map.load(0)?, 0)
        },
    ),
    Case::new(
        "purge.read-only-descriptor",
        &["PURGE-06", "NUM-20"],
        "It works on a descriptor opened read-only",
        |env| {
            env.purge()?;
            equal("PURGE_ALL_CACHES", env.open_with(libc::O_RDONLY)?.purge()?, 0)
        },
    ),
];

/// Takes CAP_SYS_ADMIN out of the calling process's effective set.
fn drop_sys_admin() -> crate::case::Verdict {
    const CAP_SYS_ADMIN: u32 = 21;
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: version 3 of the call uses a header of two words and sets of six.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    if got != 0 || sets[0] & 1 << CAP_SYS_ADMIN == 0 {
        return skip("this root has no CAP_SYS_ADMIN to drop");
    }
    sets[0] &= !(1 << CAP_SYS_ADMIN);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    ashmem_test_client::errno::answer("capset", set)?;
    Ok(())
}
