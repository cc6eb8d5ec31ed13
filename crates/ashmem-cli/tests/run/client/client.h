/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the client's files share, and the verbs of each. */
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

#include "../device.h"

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
