/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the client's files share: the device's requests, a check, a region. */
#ifndef CLIENT_H
#define CLIENT_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Whether the device may purge by now: less than a quarter of the memory is available. */
static inline int scarce(void)
{
	unsigned long total = 0, available = 0;
	char line[128];
	FILE *info = fopen("/proc/meminfo", "r");

	while (info && fgets(line, sizeof line, info)) {
		sscanf(line, "MemTotal: %lu", &total);
		sscanf(line, "MemAvailable: %lu", &available);
	}
	if (info)
		fclose(info);
	return available < total / 4;
}

/* region.c */
void round_trip(void);
void private(void);
void relative(void);
void inherit(char *self);
void inherited(int fd);
void pass(void);
void implied(void);
void roomless(void);
void null(void);
void replaced(void);
void newer(void);
void denywrite(void);
void written(void);
void lowered(void);
void reopened(void);
void elsewhere(void);
void memfd(void);

/* together.c */
void threads(void);
void crowd(int processes);
void interrupted(void);
void together(void);
void purges(void);
void churn(void);
void give(void);
void take(int is_want);

/* hostile.c */
void stopped(void);
void killed(void);
void race(void);
void malformed(void);
void stuck(void);
void stalled(const char *path);
void descriptor_race(void);
void unmapped(void);
void reused(void);
void alone(void);
void undumpable(void);

#endif
