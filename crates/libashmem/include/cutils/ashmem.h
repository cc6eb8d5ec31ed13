/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Shared memory regions, with the functions of Android's libcutils header of this name.
 *
 * What <android/sharedmem.h> says of backends, threads and errno holds here too. New programs use
 * that header; this one is for code that is written against libcutils, and for pinning.
 *
 * A descriptor that is no region never ends the process, as it does on Android: the answer is -1
 * and ENOTTY.
 */
#ifndef CUTILS_ASHMEM_H
#define CUTILS_ASHMEM_H

#include <stddef.h>

#ifndef ASHMEM_NAME_LEN
/* Bytes of a name, its NUL among them. */
#define ASHMEM_NAME_LEN 256
/* The name of a region that has none. */
#define ASHMEM_NAME_DEF "dev/ashmem"

/* What ashmem_pin_region answers: were pages of the range taken since it was unpinned? */
#define ASHMEM_NOT_PURGED 0
#define ASHMEM_WAS_PURGED 1

/* What ashmem_unpin_region answers. */
#define ASHMEM_IS_UNPINNED 0
#define ASHMEM_IS_PINNED 1
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * 1 when fd is a region, 0 when not, then with errno ENOTTY or EBADF. A memfd is one, whoever made
 * it.
 */
int ashmem_valid(int fd);

/* As ASharedMemory_create, but takes a size of 0, which makes a region that cannot be mapped. */
int ashmem_create_region(const char *name, size_t size);

/* As ASharedMemory_setProt. */
int ashmem_set_prot_region(int fd, int prot);

/*
 * Pins len bytes from offset: they stay. Both are multiples of the page size below 4 GiB; a len of
 * 0 is all up to the region's end. Pins are not counted.
 *
 * Returns ASHMEM_NOT_PURGED; ASHMEM_WAS_PURGED when the content of some page is gone (it reads as
 * zeros); or -1 with errno: EINVAL the range, or a region that nobody ever mapped; EBADF, ENOTTY,
 * ENOMEM. On a memfd nothing is ever purged: ASHMEM_NOT_PURGED.
 */
int ashmem_pin_region(int fd, size_t offset, size_t len);

/*
 * Unpins a range: the kernel may take its content when it needs memory. All of a region is pinned
 * when it is made.
 *
 * Returns ASHMEM_IS_UNPINNED, or -1 with errno as above. On a memfd it does nothing.
 */
int ashmem_unpin_region(int fd, size_t offset, size_t len);

/*
 * The size in bytes, or -1 with errno: EBADF, ENOTTY; EOVERFLOW beyond INT_MAX
 * (ASharedMemory_getSize counts further).
 */
int ashmem_get_size_region(int fd);

#ifdef __cplusplus
}
#endif

#endif
