// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Unpins pages and pins them again, and tells what PIN said and what the pages hold then.
 *
 *   client once       one page
 *   client purge-all  the same, with PURGE_ALL_CACHES in between, whose answer comes first
 *   client threads    four threads, a page each of one region, many times
 */
#include <fcntl.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct pin {
	__u32 offset, len;
};

#define SET_SIZE _IOW(0x77, 3, size_t)
#define PIN _IOW(0x77, 7, struct pin)
#define UNPIN _IOW(0x77, 8, struct pin)
#define PURGE_ALL_CACHES _IO(0x77, 10)

enum { PAGES = 4, ROUNDS = 200 };

static int fd;
static long page;
static volatile char *memory;

static void must(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

static int request(unsigned long number, long at)
{
	struct pin pin = { at * page, page };

	return ioctl(fd, number, &pin);
}

/* How often PIN said WAS_PURGED of this page and it was empty. */
static void *work(void *argument)
{
	long at = (long)argument, purged = 0;

	for (int round = 0; round < ROUNDS; round++) {
		memory[at * page] = 'x';
		must(request(UNPIN, at) == 0, "UNPIN");
		purged += request(PIN, at) == 1 && memory[at * page] == 0;
	}
	return (void *)purged;
}

int main(int count, char **words)
{
	const char *verb = count == 2 ? words[1] : "";

	page = sysconf(_SC_PAGESIZE);
	fd = open("/dev/ashmem", O_RDWR);
	must(fd >= 0, "/dev/ashmem");
	must(ioctl(fd, SET_SIZE, PAGES * page) == 0, "SET_SIZE");
	memory = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(memory != MAP_FAILED, "mmap");

	if (!strcmp(verb, "threads")) {
		pthread_t threads[PAGES];
		long sum = 0;

		for (long at = 0; at < PAGES; at++)
			must(!pthread_create(&threads[at], NULL, work, (void *)at), "a thread");
		for (long at = 0; at < PAGES; at++) {
			void *purged;

			pthread_join(threads[at], &purged);
			sum += (long)purged;
		}
		printf("%ld of %d\n", sum, PAGES * ROUNDS);
		return 0;
	}
	memory[0] = 'x';
	must(request(UNPIN, 0) == 0, "UNPIN");
	if (!strcmp(verb, "purge-all"))
		printf("%d ", ioctl(fd, PURGE_ALL_CACHES));
	else
		usleep(300 * 1000);
	printf("%d ", request(PIN, 0));
	printf("%s\n", memory[0] == 'x' ? "kept" : memory[0] == 0 ? "empty" : "odd");
	return 0;
}
