// SPDX-License-Identifier: MIT OR Apache-2.0
//! mmap: what the device checks, what a mapping shows.

use super::run;
use crate::case::{Case, equal, holds, refused};
use crate::process::Child;
use ashmem_test_client::fault::{BUS, SEGV};
use ashmem_test_client::map::{Map, NONE, PAGE, R, RW, RWX};

const SHARED: i32 = libc::MAP_SHARED;
const PRIVATE: i32 = libc::MAP_PRIVATE;
const MAP_SYNC: i32 = 0x8_0000;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "mmap.write-only-descriptor",
        &["MMAP-01"],
        "mmap on a descriptor opened write-only is EACCES",
        |env| {
            let region = env.open_with(libc::O_WRONLY)?;
            region.set_size(4096)?;
            refused("mmap", region.map(PAGE, libc::PROT_WRITE, SHARED, 0), libc::EACCES)?;
            equal("SET_SIZE after it", region.set_size(8192)?, 0)
        },
    ),
    Case::new(
        "mmap.write-on-read-only-descriptor",
        &["MMAP-01"],
        "A writable shared mmap on a descriptor opened read-only is EACCES",
        |env| {
            let region = env.open_with(libc::O_RDONLY)?;
            region.set_size(4096)?;
            refused("mmap", region.share(PAGE), libc::EACCES)
        },
    ),
    Case::new(
        "mmap.shared-validate",
        &["MMAP-01"],
        "MAP_SHARED_VALIDATE works, and with a flag the device does not know is EOPNOTSUPP",
        |env| {
            let region = env.region(4096)?;
            refused(
                "MAP_SYNC",
                region.map(PAGE, RW, libc::MAP_SHARED_VALIDATE | MAP_SYNC, 0),
                libc::EOPNOTSUPP,
            )?;
            region.map(PAGE, RW, libc::MAP_SHARED_VALIDATE, 0)?.store(0, 1)?;
            Ok(())
        },
    ),
    Case::new(
        "mmap.too-long",
        &["MMAP-03", "BUG-09"],
        "A length beyond the rounded size is EINVAL",
        |env| {
            let region = env.region(5000)?;
            refused("8193 bytes", region.share(8193), libc::EINVAL)?;
            refused("16 MiB", region.map(16 << 20, RW, PRIVATE, 0), libc::EINVAL)?;
            region.share(8192)?;
            Ok(())
        },
    ),
    Case::new(
        "mmap.too-long-when-mapped",
        &["MMAP-03"],
        "A length beyond the rounded size is EINVAL on every later mmap",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            refused("mmap", region.share(2 * PAGE), libc::EINVAL)
        },
    ),
    Case::new(
        "mmap.size-before-mask",
        &["MMAP-04"],
        "Size 0 or a length too long is EINVAL also where the mask would be EPERM",
        |env| {
            let region = env.open()?;
            region.set_mask(1)?;
            refused("size 0", region.share(PAGE), libc::EINVAL)?;
            region.set_size(4096)?;
            refused("too long", region.share(2 * PAGE), libc::EINVAL)
        },
    ),
    Case::new(
        "mmap.beyond-mask",
        &["MMAP-05", "MMAP-06"],
        "Protection beyond the mask is EPERM, shared or private, and maps nothing",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(1)?;
            refused("shared", region.map(PAGE, RW, SHARED, 0), libc::EPERM)?;
            refused("private", region.map(PAGE, RW, PRIVATE, 0), libc::EPERM)?;
            refused("exec", region.map(PAGE, libc::PROT_EXEC, SHARED, 0), libc::EPERM)?;
            equal("SET_SIZE afterwards", region.set_size(8192)?, 0)?;
            refused("UNPIN afterwards", region.unpin(0, 0), libc::EINVAL)
        },
    ),
    Case::new(
        "mmap.mprotect-beyond-mask",
        &["MMAP-08"],
        "mprotect beyond the mask is EACCES",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(1)?;
            let map = region.map(PAGE, R, SHARED, 0)?;
            refused("mprotect to write", map.protect(RW), libc::EACCES)?;
            refused("mprotect to execute", map.protect(R | libc::PROT_EXEC), libc::EACCES)?;
            equal("mprotect to nothing", map.protect(NONE)?, 0)?;
            equal("mprotect back to read", map.protect(R)?, 0)?;
            equal("a store", map.store(0, 1), Err(SEGV))
        },
    )
    .differs(&[run::FAST_EXECUTE]),
    Case::new(
        "mmap.mprotect-private-beyond-mask",
        &["MMAP-08", "MMAP-12"],
        "mprotect of a private mapping beyond the mask is EACCES as well",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(1)?;
            refused("mprotect", region.map(PAGE, R, PRIVATE, 0)?.protect(RW), libc::EACCES)
        },
    )
    .differs(&[run::PRIVATE_RIGHTS]),
    Case::new(
        "mmap.none-then-mprotect",
        &["MMAP-08"],
        "A PROT_NONE mapping may be raised up to the mask and no further",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(3)?;
            let map = region.map(PAGE, NONE, SHARED, 0)?;
            equal("a load", map.load(0), Err(SEGV))?;
            equal("mprotect to the mask", map.protect(RW)?, 0)?;
            map.store(0, 1)?;
            refused("mprotect beyond", map.protect(RWX), libc::EACCES)
        },
    )
    .differs(&[run::FAST_EXECUTE]),
    Case::new(
        "mmap.mprotect-within-mask",
        &["MMAP-08"],
        "With every right in the mask mprotect goes anywhere",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            for prot in [NONE, R, RWX, libc::PROT_EXEC, RW] {
                equal("mprotect", map.protect(prot)?, 0)?;
            }
            map.store(0, 1)?;
            Ok(())
        },
    ),
    Case::new(
        "mmap.one-backing",
        &["MMAP-10"],
        "All mappings, shared and private, show one inode",
        |env| {
            let (region, map) = env.mapped(8192)?;
            let inode = map.line()?.inode;
            equal("a second shared one", region.share(PAGE)?.line()?.inode, inode)?;
            equal("a private one", region.map(PAGE, R, PRIVATE, 0)?.line()?.inode, inode)?;
            drop(map);
            equal("one after the first is gone", region.share(PAGE)?.line()?.inode, inode)
        },
    )
    .differs(&[run::PRIVATE_IN_MAPS]),
    Case::new("mmap.backings-differ", &["MMAP-10"], "Two regions have two inodes", |env| {
        let ((_a, one), (_b, two)) = (env.mapped(4096)?, env.mapped(4096)?);
        holds("the inodes differ", one.line()?.inode != two.line()?.inode)
    }),
    Case::new("mmap.starts-as-zeros", &["MMAP-11"], "Fresh memory is zeros, every byte", |env| {
        let (_region, map) = env.mapped(8192)?;
        holds("all bytes are zero", map.read(0, 8192)?.iter().all(|byte| *byte == 0))
    }),
    Case::new(
        "mmap.shared-is-shared",
        &["MMAP-11"],
        "What one shared mapping writes all others see, at their offset",
        |env| {
            let (region, map) = env.mapped(3 * PAGE as u64)?;
            let second = region.map(PAGE, R, SHARED, PAGE as u64)?;
            map.write(PAGE, b"hello")?;
            equal("through the second page's mapping", second.read(0, 5)?, b"hello".to_vec())
        },
    ),
    Case::new(
        "mmap.content-survives-munmap",
        &["MMAP-10"],
        "Content survives while only the descriptor holds it",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(10, b"kept")?;
            drop(map);
            equal("the bytes", region.share(PAGE)?.read(10, 4)?, b"kept".to_vec())
        },
    ),
    Case::new(
        "mmap.private-is-anonymous",
        &["MMAP-12", "BUG-10"],
        "A private mapping is zeros, not the content; its writes reach nobody",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            let private = region.map(PAGE, RW, PRIVATE, 0)?;
            equal("the private byte", private.load(0)?, 0)?;
            private.store(0, 2)?;
            equal("the shared byte", map.load(0)?, 1)?;
            equal("another private byte", region.map(PAGE, RW, PRIVATE, 0)?.load(0)?, 0)
        },
    ),
    Case::new(
        "mmap.private-read-fault",
        &["MMAP-12", "BUG-10", "MMAP-14"],
        "A read-only private mapping is zeros, no SIGBUS",
        |env| {
            let region = env.region(4096)?;
            equal("the byte", region.map(PAGE, R, PRIVATE, 0)?.load(100)?, 0)
        },
    ),
    Case::new(
        "mmap.private-first",
        &["MMAP-13"],
        "A private first mmap makes the backing file: name and size are fixed, PIN works",
        |env| {
            let region = env.region(4096)?;
            let _map = region.map(PAGE, RW, PRIVATE, 0)?;
            refused("SET_NAME", region.set_name(c"late"), libc::EINVAL)?;
            refused("SET_SIZE", region.set_size(1), libc::EINVAL)?;
            equal("PIN", region.pin(0, 0)?, 0)?;
            equal("read", region.read(4)?, vec![0; 4])
        },
    ),
    Case::new(
        "mmap.none-first",
        &["MMAP-10"],
        "A PROT_NONE first mmap makes the backing file too",
        |env| {
            let region = env.region(4096)?;
            let _map = region.map(PAGE, NONE, SHARED, 0)?;
            refused("SET_SIZE", region.set_size(1), libc::EINVAL)
        },
    ),
    Case::new(
        "mmap.shared-on-read-only-descriptor",
        &["MMAP-15"],
        "A shared read-only mmap on a descriptor opened read-only is private zeros, not the \
         content",
        |env| {
            let region = env.open_with(libc::O_RDONLY)?;
            region.set_size(4096)?;
            let map = region.map(PAGE, R, SHARED, 0)?;
            equal("the rights", map.line()?.perms.as_str(), "r--s")?;
            equal("the path", map.line()?.path.as_str(), "/dev/ashmem (deleted)")?;
            equal("the byte", map.load(0)?, 0)?;
            refused("mprotect to write", map.protect(RW), libc::EACCES)
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "mmap.offset-unchecked",
        &["MMAP-16"],
        "An offset beyond the size is accepted; touching the page is SIGBUS",
        |env| {
            let (region, _map) = env.mapped(8192)?;
            for page in [2, 3, 1 << 20] {
                let map = region.map(PAGE, RW, SHARED, page * PAGE as u64)?;
                equal("a load", map.load(0), Err(BUS))?;
                equal("a store", map.store(0, 1), Err(BUS))?;
            }
            Ok(())
        },
    ),
    Case::new(
        "mmap.offset-crosses-end",
        &["MMAP-16", "MMAP-18"],
        "A mapping across the end works before it and is SIGBUS behind",
        |env| {
            let (region, map) = env.mapped(8192)?;
            let across = region.map(8192, RW, SHARED, PAGE as u64)?;
            across.store(0, 77)?;
            equal("the byte through the first mapping", map.load(PAGE)?, 77)?;
            equal("the page behind the end", across.load(PAGE), Err(BUS))
        },
    ),
    Case::new(
        "mmap.offset-unchecked-first",
        &["MMAP-16"],
        "The first mmap may be the one beyond the size",
        |env| {
            let region = env.region(4096)?;
            equal("a load", region.map(PAGE, R, SHARED, 1 << 30)?.load(0), Err(BUS))?;
            refused("SET_SIZE", region.set_size(1), libc::EINVAL)
        },
    ),
    Case::new(
        "mmap.offset-private",
        &["MMAP-16"],
        "A private mapping beyond the size is zeros",
        |env| {
            let region = env.region(4096)?;
            let map = region.map(PAGE, RW, PRIVATE, 1 << 20)?;
            equal("a load", map.load(0)?, 0)?;
            map.store(0, 1)?;
            Ok(())
        },
    ),
    Case::new(
        "mmap.offset-unaligned",
        &["MMAP-17"],
        "An offset that is not page aligned is EINVAL",
        |env| {
            let region = env.region(8192)?;
            refused("mmap at 100", region.map(PAGE, RW, SHARED, 100), libc::EINVAL)?;
            equal("SET_SIZE afterwards", region.set_size(1)?, 0)
        },
    ),
    Case::new("mmap.length-zero", &["MMAP-01"], "A length of 0 is EINVAL", |env| {
        refused("mmap", env.region(4096)?.map(0, RW, SHARED, 0), libc::EINVAL)
    }),
    Case::new(
        "mmap.part",
        &["MMAP-10"],
        "Mapping a part first makes the whole region's memory",
        |env| {
            let region = env.region(16 * PAGE as u64)?;
            let _part = region.map(PAGE, RW, SHARED, 0)?;
            let whole = region.share(16 * PAGE)?;
            whole.store(16 * PAGE - 1, 5)?;
            equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 16 * PAGE as i64)
        },
    ),
    Case::new("mmap.fixed", &["MMAP-11"], "MAP_FIXED maps over what was there", |env| {
        let place = Map::anonymous(4 * PAGE, RW)?;
        place.touch(1)?;
        let (region, map) = env.mapped(2 * PAGE as u64)?;
        map.touch(2)?;
        let at = place.address() + PAGE;
        let fixed = Map::at(at, region.fd(), 2 * PAGE, RW, SHARED | libc::MAP_FIXED, 0)?;
        equal("the address", fixed.address(), at)?;
        equal("the pages", place.pages()?, vec![1, 2, 2, 1])
    }),
    Case::new("mmap.fork", &["MMAP-26"], "A forked process shares the mapping", |env| {
        let (_region, map) = env.mapped(4096)?;
        let child = Child::start(|_| Ok(map.store(7, 99)?))?;
        child.join()?;
        equal("the byte the child wrote", map.load(7)?, 99)
    }),
    Case::new(
        "mmap.fork-private",
        &["MMAP-26", "MMAP-12"],
        "A forked process has its own copy of a private mapping",
        |env| {
            let region = env.region(4096)?;
            let map = region.map(PAGE, RW, PRIVATE, 0)?;
            map.store(0, 1)?;
            Child::start(|_| {
                equal("the inherited byte", map.load(0)?, 1)?;
                Ok(map.store(0, 2)?)
            })?
            .join()?;
            equal("our byte", map.load(0)?, 1)
        },
    ),
    Case::new(
        "mmap.populate-and-lock",
        &["MMAP-11"],
        "MAP_POPULATE and mlock bring the pages in",
        |env| {
            let region = env.region(4 * PAGE as u64)?;
            let map = region.map(4 * PAGE, RW, SHARED | libc::MAP_POPULATE, 0)?;
            equal("mlock", map.lock()?, 0)?;
            equal("no hole is left", region.seek(0, libc::SEEK_HOLE)?, 4 * PAGE as i64)
        },
    ),
];
