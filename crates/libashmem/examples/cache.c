/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A cache whose memory the kernel may take back while nobody uses it.
 *
 *     cc cache.c $(pkg-config --cflags --libs libashmem) -o cache && ./cache
 */
#include <cutils/ashmem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)1 << 20)

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void fill(unsigned char *memory)
{
	memset(memory, 42, SIZE);
}

int main(void)
{
	unsigned char *memory;
	size_t place;
	int fd, purged;

	fd = ashmem_create_region("cache", SIZE);
	if (fd < 0)
		die("ashmem_create_region");
	memory = (unsigned char *)mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	fill(memory);

	/* Nobody needs it for now. */
	if (ashmem_unpin_region(fd, 0, 0) < 0)
		die("ashmem_unpin_region");

	/* Somebody does again. */
	purged = ashmem_pin_region(fd, 0, 0);
	if (purged < 0)
		die("ashmem_pin_region");
	if (purged == ASHMEM_WAS_PURGED)
		fill(memory);

	for (place = 0; place < SIZE; place++) {
		if (memory[place] != 42) {
			fprintf(stderr, "byte %zu is %d\n", place, memory[place]);
			return EXIT_FAILURE;
		}
	}
	printf("%d bytes, %s\n", ashmem_get_size_region(fd), purged ? "made again" : "still there");
	munmap(memory, SIZE);
	close(fd);
	return EXIT_SUCCESS;
}
