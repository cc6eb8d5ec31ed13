// SPDX-License-Identifier: MIT OR Apache-2.0
//! read and lseek.

use super::run;
use crate::case::{Case, equal, holds, refused};
use crate::process;
use ashmem_test_client::errno::answer;
use ashmem_test_client::map::{Map, R, RW, page_size};
use ashmem_test_client::region::UNTOUCHED;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "read_seek.read-size-zero",
        &["READ-01"],
        "read of a region of size 0 is the end of file",
        |env| {
            let region = env.open()?;
            equal("read", region.read(10)?, vec![])?;
            equal("pread", region.pread(10, 100)?, vec![])
        },
    ),
    Case::new(
        "read_seek.read-not-mapped",
        &["READ-02"],
        "read of a region never mapped is EBADF",
        |env| {
            let region = env.region(4096)?;
            refused("read", region.read(10), libc::EBADF)?;
            refused("pread", region.pread(10, 0), libc::EBADF)
        },
    )
    .differs(&[run::KERNEL_READS]),
    Case::new(
        "read_seek.read",
        &["READ-03"],
        "read gives the bytes at the position and moves it",
        |env| {
            let (region, map) = env.mapped(100)?;
            map.write(0, b"abcdefgh")?;
            equal("the first read", region.read(3)?, b"abc".to_vec())?;
            equal("the second read", region.read(3)?, b"def".to_vec())?;
            equal("the position", region.seek(0, libc::SEEK_CUR)?, 6)
        },
    ),
    Case::new(
        "read_seek.read-to-the-end",
        &["READ-03", "READ-04"],
        "read stops at the unrounded size; behind it is the end of file",
        |env| {
            let (region, map) = env.mapped(5000)?;
            map.store(4999, 1)?;
            let all = region.read(10_000)?;
            equal("how many bytes", all.len(), 5000)?;
            equal("the last byte", all[4999], 1)?;
            equal("read at the end", region.read(10)?, vec![])?;
            equal("pread behind the end", region.pread(10, 6000)?, vec![])
        },
    ),
    Case::new(
        "read_seek.holes-are-zeros",
        &["READ-03"],
        "Pages never touched read as zeros and stay holes",
        |env| {
            let (region, _map) = env.mapped(2 * page_size() as u64)?;
            equal("the bytes", region.read(2 * page_size())?, vec![0; 2 * page_size()])?;
            refused("SEEK_DATA", region.seek(0, libc::SEEK_DATA), libc::ENXIO)
        },
    ),
    Case::new(
        "read_seek.readv",
        &["READ-03"],
        "readv fills one buffer after the other and moves the position",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"abcdef")?;
            let (mut one, mut two) = ([0_u8; 2], [0_u8; 3]);
            let vector = [iovec(&mut one), iovec(&mut two)];
            // SAFETY: both buffers are as long as their iovec says.
            let got = unsafe { libc::readv(region.fd(), vector.as_ptr(), 2) };
            equal("readv", answer("readv", got as i64)?, 5)?;
            equal("the bytes", (&one, &two), (b"ab", b"cde"))?;
            equal("the next byte", region.read(1)?, b"f".to_vec())
        },
    ),
    Case::new("read_seek.preadv", &["READ-03"], "preadv reads at its offset", |env| {
        let (region, map) = env.mapped(4096)?;
        map.write(0, b"abcdef")?;
        let mut one = [0_u8; 2];
        let vector = [iovec(&mut one)];
        // SAFETY: the buffer is as long as its iovec says.
        let got = unsafe { libc::preadv(region.fd(), vector.as_ptr(), 1, 3) };
        equal("preadv", answer("preadv", got as i64)?, 2)?;
        equal("the bytes", &one, b"de")
    }),
    Case::new(
        "read_seek.pread-moves-seek-base",
        &["READ-06", "SEEK-04"],
        "After pread, lseek(0, SEEK_CUR) gives the end of the pread",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            equal("SEEK_SET", region.seek(5, libc::SEEK_SET)?, 5)?;
            region.pread(10, 100)?;
            equal("SEEK_CUR", region.seek(0, libc::SEEK_CUR)?, 110)
        },
    )
    .differs(&[run::KERNEL_READS]),
    Case::new(
        "read_seek.pread-leaves-read",
        &["READ-07"],
        "After pread, read goes on at its own position",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"abcdef")?;
            region.read(2)?;
            region.pread(1, 5)?;
            equal("read", region.read(2)?, b"cd".to_vec())
        },
    ),
    Case::new(
        "read_seek.empty-pread-leaves-seek-base",
        &["READ-05", "READ-04"],
        "A pread that gets nothing does not move the base of SEEK_CUR",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            region.seek(7, libc::SEEK_SET)?;
            equal("pread behind the end", region.pread(10, 9000)?, vec![])?;
            equal("SEEK_CUR", region.seek(0, libc::SEEK_CUR)?, 7)
        },
    ),
    Case::new(
        "read_seek.dup-shares-position",
        &["READ-03", "OPEN-04"],
        "Two descriptors of one region share the position",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"abcd")?;
            let twin = region.dup()?;
            region.read(2)?;
            equal("read of the dup", twin.read(2)?, b"cd".to_vec())
        },
    ),
    Case::new(
        "read_seek.purged-reads-zero",
        &["READ-08", "SHR-10"],
        "Purged pages read as zeros",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"gone")?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("read", region.read(4)?, vec![0; 4])
        },
    ),
    Case::new(
        "read_seek.write-only-descriptor",
        &["READ-09"],
        "read on a descriptor opened write-only is EBADF",
        |env| {
            let region = env.open_with(libc::O_WRONLY)?;
            refused("read", region.read(1), libc::EBADF)
        },
    ),
    Case::new(
        "read_seek.zero-length",
        &["READ-10"],
        "A read of no bytes is 0 on a mapped region",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            equal("read", region.read(0)?, vec![])
        },
    ),
    Case::new(
        "read_seek.bad-buffer",
        &["READ-03"],
        "read into a bad pointer is EFAULT and the position stays",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            let page = Map::anonymous(page_size(), R)?;
            // SAFETY: the buffer is meant to be one the kernel cannot write to.
            let got = unsafe { libc::read(region.fd(), page.address() as *mut _, 10) };
            refused("read", answer("read", got as i64), libc::EFAULT)?;
            equal("the position", region.seek(0, libc::SEEK_CUR)?, 0)
        },
    ),
    Case::new(
        "read_seek.partly-bad-buffer",
        &["READ-03"],
        "read into a buffer that ends at an unmapped page gives what fits",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.touch(3)?;
            let edge = Map::anonymous(2 * page_size(), RW)?;
            edge.unmap_part(page_size(), page_size())?;
            edge.store(page_size() - 2, UNTOUCHED)?;
            // SAFETY: the buffer's second half is meant to be one the kernel cannot write to.
            let got = unsafe {
                libc::read(region.fd(), (edge.address() + page_size() - 2) as *mut _, 10)
            };
            let got = answer("read", got as i64)?;
            // Before 5.14 arm64 may give up a copy some bytes before the first bad one.
            if cfg!(target_arch = "aarch64") && !process::kernel_is_at_least(5, 14) {
                holds("read gives a part of what fits", (1..=2).contains(&got))?;
            } else {
                equal("read", got, 2)?;
            }
            equal("the first byte", edge.load(page_size() - 2)?, 3)
        },
    ),
    Case::new(
        "read_seek.after-munmap",
        &["READ-03"],
        "read and lseek still work after everything was unmapped",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"still")?;
            drop(map);
            equal("read", region.read(5)?, b"still".to_vec())?;
            equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 4096)
        },
    ),
    Case::new(
        "read_seek.seek-size-zero",
        &["SEEK-01"],
        "lseek on a region of size 0 is EINVAL",
        |env| {
            let region = env.open()?;
            for whence in 0..5 {
                refused(&format!("lseek whence {whence}"), region.seek(0, whence), libc::EINVAL)?;
            }
            Ok(())
        },
    )
    .differs(&[run::KERNEL_READS]),
    Case::new(
        "read_seek.seek-not-mapped",
        &["SEEK-02"],
        "lseek on a region never mapped is EBADF",
        |env| refused("lseek", env.region(4096)?.seek(0, libc::SEEK_SET), libc::EBADF),
    )
    .differs(&[run::KERNEL_READS]),
    Case::new(
        "read_seek.set-cur-end",
        &["SEEK-03"],
        "SEEK_SET, SEEK_CUR and SEEK_END move the position, beyond the end too",
        |env| {
            let (region, map) = env.mapped(5000)?;
            map.write(10, b"ten")?;
            equal("SEEK_SET", region.seek(10, libc::SEEK_SET)?, 10)?;
            equal("read", region.read(3)?, b"ten".to_vec())?;
            equal("SEEK_CUR", region.seek(-3, libc::SEEK_CUR)?, 10)?;
            equal("SEEK_END", region.seek(-1000, libc::SEEK_END)?, 4000)?;
            equal("beyond the end", region.seek(100, libc::SEEK_END)?, 5100)?;
            equal("read there", region.read(1)?, vec![])
        },
    ),
    Case::new(
        "read_seek.negative",
        &["SEEK-03", "SEEK-07"],
        "A seek to a negative position is EINVAL and the position stays",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(3, 30)?;
            region.seek(3, libc::SEEK_SET)?;
            refused("SEEK_SET", region.seek(-1, libc::SEEK_SET), libc::EINVAL)?;
            refused("SEEK_CUR", region.seek(-4, libc::SEEK_CUR), libc::EINVAL)?;
            refused("SEEK_END", region.seek(-4097, libc::SEEK_END), libc::EINVAL)?;
            equal("read", region.read(1)?, vec![30])
        },
    ),
    Case::new(
        "read_seek.data-and-hole",
        &["SEEK-05"],
        "SEEK_DATA and SEEK_HOLE tell touched pages from others",
        |env| {
            let (region, map) = env.mapped(5 * page_size() as u64)?;
            map.store(page_size(), 1)?;
            map.store(3 * page_size(), 1)?;
            equal("first data", region.seek(0, libc::SEEK_DATA)?, page_size() as i64)?;
            equal(
                "hole behind it",
                region.seek(page_size() as i64, libc::SEEK_HOLE)?,
                2 * page_size() as i64,
            )?;
            equal(
                "next data",
                region.seek(2 * page_size() as i64, libc::SEEK_DATA)?,
                3 * page_size() as i64,
            )?;
            equal(
                "last hole",
                region.seek(3 * page_size() as i64, libc::SEEK_HOLE)?,
                4 * page_size() as i64,
            )?;
            refused(
                "data behind it",
                region.seek(4 * page_size() as i64, libc::SEEK_DATA),
                libc::ENXIO,
            )
        },
    ),
    Case::new(
        "read_seek.no-hole",
        &["SEEK-05"],
        "Without a hole SEEK_HOLE gives the unrounded size",
        |env| {
            let (region, map) = env.mapped(5000)?;
            map.touch(1)?;
            equal("SEEK_HOLE", region.seek(0, libc::SEEK_HOLE)?, 5000)?;
            equal("SEEK_DATA inside a page", region.seek(4500, libc::SEEK_DATA)?, 4500)
        },
    ),
    Case::new(
        "read_seek.data-past-end",
        &["SEEK-05", "SEEK-07"],
        "SEEK_DATA and SEEK_HOLE at or behind the end are ENXIO",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            for whence in [libc::SEEK_DATA, libc::SEEK_HOLE] {
                refused("at the end", region.seek(4096, whence), libc::ENXIO)?;
                refused("behind it", region.seek(1 << 30, whence), libc::ENXIO)?;
                refused("negative", region.seek(-1, whence), libc::ENXIO)?;
            }
            equal("the position", region.seek(0, libc::SEEK_CUR)?, 0)
        },
    ),
    Case::new(
        "read_seek.purge-makes-holes",
        &["SEEK-05", "SHR-10"],
        "A purged page is a hole",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(3 * page_size() as u64)?;
            map.touch(1)?;
            region.unpin(page_size() as u32, page_size() as u32)?;
            env.purge()?;
            equal("SEEK_HOLE", region.seek(0, libc::SEEK_HOLE)?, page_size() as i64)?;
            equal(
                "SEEK_DATA",
                region.seek(page_size() as i64, libc::SEEK_DATA)?,
                2 * page_size() as i64,
            )
        },
    ),
    Case::new("read_seek.bad-whence", &["SEEK-06"], "An unknown whence is EINVAL", |env| {
        let (region, _map) = env.mapped(4096)?;
        for whence in [5, 100, -1] {
            refused(&format!("whence {whence}"), region.seek(0, whence), libc::EINVAL)?;
        }
        Ok(())
    }),
    Case::new(
        "read_seek.seek-sets-read",
        &["SEEK-03", "SEEK-04"],
        "A seek from the pread's end moves the position of read as well",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(100, b"x")?;
            region.pread(4, 94)?;
            equal("SEEK_CUR + 2", region.seek(2, libc::SEEK_CUR)?, 100)?;
            equal("read", region.read(1)?, b"x".to_vec())
        },
    )
    .differs(&[run::KERNEL_READS]),
    Case::new(
        "read_seek.seek-beyond-2-gib",
        &["SEEK-08"],
        "Positions of 2 GiB and more come back whole",
        |env| {
            let region = env.region(6 << 30)?;
            let _map = region.map(page_size(), RW, libc::MAP_SHARED | libc::MAP_NORESERVE, 0)?;
            equal("SEEK_SET", region.seek(5 << 30, libc::SEEK_SET)?, 5 << 30)?;
            equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 6 << 30)
        },
    ),
];

fn iovec(buffer: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}
