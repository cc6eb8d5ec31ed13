/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The device's requests, a check, a region: what each program of these tests needs. */
#ifndef DEVICE_H
#define DEVICE_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct pin { uint32_t offset, len; };

#define SET_NAME _IOW(0x77, 1, char[256])
#define GET_NAME _IOR(0x77, 2, char[256])
#define SET_SIZE _IOW(0x77, 3, size_t)
#define GET_SIZE _IO(0x77, 4)
#define SET_PROT_MASK _IOW(0x77, 5, unsigned long)
#define GET_PROT_MASK _IO(0x77, 6)
#define PIN _IOW(0x77, 7, struct pin)
#define UNPIN _IOW(0x77, 8, struct pin)
#define GET_PIN_STATUS _IO(0x77, 9)
#define PURGE_ALL_CACHES _IO(0x77, 10)

#define CHECK(what) \
	do { \
		if (!(what)) { \
			printf("%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #what, \
			       errno); \
			exit(1); \
		} \
	} while (0)

static inline int region(size_t size)
{
	int fd = open("/dev/ashmem", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(ioctl(fd, SET_SIZE, size) == 0);
	return fd;
}

static inline char *map(int fd, size_t size, int prot)
{
	char *at = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	return at;
}

#endif
