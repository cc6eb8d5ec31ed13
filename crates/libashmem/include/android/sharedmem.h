/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Shared memory regions, with the functions of the Android NDK's header of this name (API level
 * 26).
 *
 * On Linux a region is the ashmem device's where there is one, a sealed memfd elsewhere; the
 * environment variable ASHMEM_BACKEND (auto, device, memfd) decides otherwise. Link with:
 * pkg-config --cflags --libs libashmem
 *
 * Every function may be called from any thread. errno is set on failure and left alone on success.
 *
 * ASharedMemory_dupFromJava is not here: it takes a JNIEnv and an android.os.SharedMemory, which no
 * Java machine outside Android has.
 */
#ifndef ANDROID_SHAREDMEM_H
#define ANDROID_SHAREDMEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes a region of size bytes, zeroed, and returns its descriptor, which is closed on exec.
 *
 * name: for people (/proc/PID/maps); need not be unique; NULL stands for "none". What is beyond 255
 * bytes is cut, on memfd beyond 249.
 *
 * The descriptor is mapped with mmap (MAP_SHARED), passed on by SCM_RIGHTS or by fork, and closed
 * with close; the memory lives until the last descriptor and mapping are gone.
 *
 * Returns -1 with errno: EINVAL size is 0, or ASHMEM_BACKEND is none of its three values; EMFILE,
 * ENFILE, ENOMEM; with ASHMEM_BACKEND=device also what opening /dev/ashmem said, and ENODEV when
 * that is something else.
 */
int ASharedMemory_create(const char *name, size_t size);

/*
 * The region's size in bytes, as it was created. Of the device's regions the kernel tells the low
 * 32 bits alone: for one of more than 4 GiB the answer is too small by a multiple of that.
 *
 * Returns 0 with errno: EBADF no open descriptor, ENOTTY no region.
 */
size_t ASharedMemory_getSize(int fd);

/*
 * Narrows what new mappings of the region may do, for all holders and for good: prot is any of
 * PROT_READ, PROT_WRITE, PROT_EXEC (<sys/mman.h>). What is mapped already stays as it is. Of a
 * memfd only PROT_WRITE can be taken.
 *
 * To share a region read-only: create it, map it to write, then setProt(fd, PROT_READ), then send
 * it.
 *
 * Returns 0, or -1 with errno: EINVAL prot has a right that was taken before, or one that does not
 * exist; EBADF, ENOTTY as above; EPERM a memfd whose maker forbade it.
 */
int ASharedMemory_setProt(int fd, int prot);

#ifdef __cplusplus
}
#endif

#endif
