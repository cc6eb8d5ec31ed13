# SPDX-License-Identifier: MIT OR Apache-2.0
# A client of /dev/ashmem that holds regions in every state, and waits.
import ctypes
import fcntl
import mmap
import os
import struct
import sys

SET_NAME, SET_SIZE, SET_PROT_MASK, UNPIN = 0x41007701, 0x40087703, 0x40087705, 0x40087708
PAGE = 4096


def region(name, size):
    fd = os.open("/dev/ashmem", os.O_RDWR)
    name = f"{sys.argv[1]}-{name}"
    fcntl.ioctl(fd, SET_NAME, name.encode().ljust(256, b"\0"))
    if size:
        fcntl.ioctl(fd, SET_SIZE, size)
    return fd


def unpin(fd, page, pages):
    fcntl.ioctl(fd, UNPIN, struct.pack("II", page * PAGE, pages * PAGE))


kept = []
# Calls enough that later ones are answered inside.
for _ in range(50):
    os.close(region("before", PAGE))
unpinned = region("unpinned", 8 * PAGE)
kept.append(mmap.mmap(unpinned, 8 * PAGE))
unpin(unpinned, 0, 2)
unpin(unpinned, 5, 1)
fcntl.ioctl(region("masked", PAGE), SET_PROT_MASK, mmap.PROT_READ)
region("sized", 3 * PAGE)
region("unsized", 0)
pinned = region("pinned", 2 * PAGE)
kept.append(mmap.mmap(pinned, 2 * PAGE))
# Mapped without a descriptor: Python's own mapping would keep one.
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
closed = region("closed", 4 * PAGE)
libc.mmap(None, 4 * PAGE, mmap.PROT_READ, mmap.MAP_SHARED, closed, 0)
unpin(closed, 1, 1)
os.close(closed)
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        os.close(region("again", PAGE))
    print("done", flush=True)
