/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client of /dev/ashmem as C programs are: built for 64 and 32 bits, static and dynamic, and run
 * under `ashmem run`. Each verb prints "ok" and exits 0, or says what was wrong and exits 1.
 */
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

static int region(size_t size)
{
	int fd = open("/dev/ashmem", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(ioctl(fd, SET_SIZE, size) == 0);
	return fd;
}

static char *map(int fd, size_t size, int prot)
{
	char *at = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	return at;
}

/* Whether the device may purge by now: less than a quarter of the memory is available. */
static int scarce(void)
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

static void round_trip(void)
{
	struct pin whole = {0, 0};
	struct stat node, status;
	char name[256];
	int fd = open("/dev/ashmem", O_RDWR);

	CHECK(fd >= 0);
	CHECK(ioctl(fd, GET_NAME, name) == 0 && !strcmp(name, "dev/ashmem"));
	CHECK(ioctl(fd, SET_NAME, "client") == 0);
	CHECK(ioctl(fd, SET_SIZE, (size_t)5000) == 0 && ioctl(fd, GET_SIZE) == 5000);
	CHECK(ioctl(fd, GET_PROT_MASK) == 7);
	CHECK(stat("/dev/ashmem", &node) == 0 && S_ISCHR(node.st_mode));
	/* At `--fidelity fast` fstat shows the memfd. */
	if (!getenv("ASHMEM_TEST_FAST"))
		CHECK(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
		      status.st_rdev == node.st_rdev && status.st_size == 0);
	CHECK(mmap(NULL, 8193, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	char *at = map(fd, 8192, PROT_READ | PROT_WRITE);
	strcpy(at + 4096, "content");
	CHECK(ioctl(fd, SET_SIZE, (size_t)1) == -1 && errno == EINVAL);
	CHECK(ioctl(fd, GET_NAME, name) == 0 && !strcmp(name, "client"));
	CHECK(ioctl(fd, UNPIN, &whole) == 0 && ioctl(fd, GET_PIN_STATUS, &whole) == 0);
	int was_purged = ioctl(fd, PIN, &whole);
	CHECK((was_purged == 0 || (was_purged == 1 && scarce())) &&
		ioctl(fd, GET_PIN_STATUS, &whole) == 1);
	if (was_purged)
		strcpy(at + 4096, "content");
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
	      errno == EPERM);
	char *read_only = map(fd, 8192, PROT_READ);
	CHECK(!strcmp(read_only + 4096, "content"));
	CHECK(mprotect(read_only, 8192, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	CHECK(ioctl(fd, 0x7763) == -1 && errno == ENOTTY);
}

/*
 * Private mappings are zeros of the caller's own, whatever the region holds; the region's name
 * shows in maps.
 */
static void private(void)
{
	int fd = open("/dev/ashmem", O_RDWR), found = 0;
	char line[512];

	CHECK(fd >= 0 && ioctl(fd, SET_NAME, "seen in maps") == 0 &&
		ioctl(fd, SET_SIZE, (size_t)8192) == 0);
	char *shared = map(fd, 8192, PROT_READ | PROT_WRITE);
	shared[0] = 1;
	for (int i = 0; i < 100; i++) {
		char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		CHECK(own != MAP_FAILED && own[0] == 0 && own[4096] == 0);
		own[0] = 2;
		CHECK(shared[0] == 1 && munmap(own, 8192) == 0);
	}
	char *place = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mmap(place, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 4096) == place &&
	      place[0] == 0);
	CHECK(mmap(NULL, 8193, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps))
		found |= strstr(line, "dev/ashmem/seen in maps (deleted)") != NULL;
	CHECK(found);
}

static void relative(void)
{
	CHECK(chdir("/dev") == 0);
	int fd = open("ashmem", O_RDWR), dir = open("/dev", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && dir >= 0 && ioctl(fd, GET_PROT_MASK) == 7);
	CHECK(chdir("/") == 0);
	fd = openat(dir, "ashmem", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && ioctl(fd, GET_PROT_MASK) == 7 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	fd = open("//dev/./shm/../ashmem", O_RDWR);
	CHECK(fd >= 0 && ioctl(fd, GET_PROT_MASK) == 7 && fcntl(fd, F_GETFD) == 0);
	struct { uint64_t flags, mode, resolve; } how = {O_RDWR, 0, 0};
	fd = syscall(SYS_openat2, AT_FDCWD, "/dev/ashmem", &how, sizeof how);
	CHECK(fd >= 0 && ioctl(fd, GET_PROT_MASK) == 7);
	fd = open("/dev/ashmem", O_RDONLY);
	CHECK(fd >= 0 && ioctl(fd, GET_PROT_MASK) == 7 && ioctl(fd, SET_SIZE, (size_t)4096) == 0);
	CHECK(map(fd, 4096, PROT_READ)[0] == 0);
}

static void inherit(char *self)
{
	int fd = region(4096);
	char number[16];

	strcpy(map(fd, 4096, PROT_READ | PROT_WRITE), "inherited");
	CHECK(fcntl(fd, F_SETFD, 0) == 0);
	sprintf(number, "%d", fd);
	execl(self, self, "inherited", number, NULL);
	CHECK(!"execl");
}

static void inherited(int fd)
{
	CHECK(ioctl(fd, GET_SIZE) == 4096 && !strcmp(map(fd, 4096, PROT_READ), "inherited"));
}

static void pass(void)
{
	int ends[2];
	struct msghdr message = {0};
	char byte = 'x', space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};

	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = space;
	message.msg_controllen = sizeof space;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	pid_t child = fork();
	if (child == 0) {
		int fd = region(8192);
		CHECK(ioctl(fd, SET_NAME, "passed") == 0);
		strcpy(map(fd, 8192, PROT_READ | PROT_WRITE), "from the child");
		CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof fd);
		CHECK(sendmsg(ends[1], &message, 0) == 1);
		exit(0);
	}
	CHECK(recvmsg(ends[0], &message, 0) == 1);
	int fd, status;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	char name[256];
	CHECK(ioctl(fd, GET_NAME, name) == 0 && !strcmp(name, "passed"));
	CHECK(ioctl(fd, GET_SIZE) == 8192 && ioctl(fd, GET_PROT_MASK) == PROT_READ);
	CHECK(!strcmp(map(fd, 8192, PROT_READ), "from the child"));
}

static void *one_thread(void *unused)
{
	for (int i = 0; i < 200; i++) {
		int fd = region(4096);
		CHECK(ioctl(fd, SET_NAME, "thread") == 0);
		char *at = map(fd, 4096, PROT_READ | PROT_WRITE);
		at[0] = 1;
		CHECK(munmap(at, 4096) == 0 && close(fd) == 0);
	}
	return unused;
}

static void threads(void)
{
	pthread_t all[8];
	for (int i = 0; i < 8; i++)
		CHECK(pthread_create(&all[i], NULL, one_thread, NULL) == 0);
	for (int i = 0; i < 8; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
}

static void crowd(int processes)
{
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			for (int j = 0; j < 5; j++)
				round_trip();
			exit(0);
		}
	int status;
	while (wait(&status) > 0)
		CHECK(status == 0);
}

/* Signals arrive all the time: every call must come out as if none had. */
static void nothing(int signal)
{
	(void)signal;
}

static void interrupted(void)
{
	struct sigaction action = {0};
	pid_t target = getpid(), pest;

	action.sa_handler = nothing;
	action.sa_flags = SA_RESTART;
	CHECK(sigaction(SIGURG, &action, NULL) == 0);
	pest = fork();
	if (pest == 0) {
		while (getppid() == target) {
			kill(target, SIGURG);
			usleep(50);
		}
		exit(0);
	}
	for (int i = 0; i < 300; i++)
		round_trip();
	private();
	kill(pest, SIGKILL);
	CHECK(waitpid(pest, NULL, 0) == pest);
}

/*
 * The supervisor is stopped at any moment of an answer, as a debugger or a freezer stops it: every
 * call gets its own answer all the same.
 */
static void stopped(void)
{
	pid_t supervisor = getppid(), target = getpid(), pest;
	struct utsname kernel;
	int major, minor;

	CHECK(uname(&kernel) == 0 && sscanf(kernel.release, "%d.%d", &major, &minor) == 2);
	if (major == 5 && minor >= 14 && minor < 19) {
		puts("skipped: kernels 5.14 to 5.18 answer 0 here, docs/module-less.md");
		exit(0);
	}
	CHECK(supervisor > 1);
	pest = fork();
	if (pest == 0) {
		while (getppid() == target) {
			kill(supervisor, SIGSTOP);
			kill(supervisor, SIGCONT);
			usleep(100);
		}
		exit(0);
	}
	for (int i = 0; i < 300; i++) {
		for (int k = 0; k < 10; k++) {
			int fd = open("/dev/ashmem", O_RDWR);
			CHECK(fd > 2 && close(fd) == 0);
		}
		round_trip();
	}
	private();
	kill(pest, SIGKILL);
	CHECK(waitpid(pest, NULL, 0) == pest && kill(supervisor, SIGCONT) == 0);
}

/* Children are killed at any moment of a call; the parent's own calls go on. */
static void killed(void)
{
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();
		if (child == 0)
			for (;;)
				round_trip();
		usleep(200 + i * 7);
		CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	}
	round_trip();
}

/*
 * One thread changes the path while another opens it: what opens is a region or the file the kernel
 * found, never more.
 */
static char swapped[32] = "/dev/ashmem";
static volatile int stop;

static void *swap(void *unused)
{
	while (!stop) {
		memcpy(swapped, "/etc/shadow", 12);
		memcpy(swapped, "/dev/ashmem", 12);
	}
	return unused;
}

static void race(void)
{
	pthread_t thread;
	CHECK(setgid(65534) == 0 || getgid() != 0 || errno == EINVAL || errno == EPERM);
	CHECK(setuid(65534) == 0 || getuid() != 0 || errno == EINVAL || errno == EPERM);
	int forbidden = getuid() != 0;
	CHECK(pthread_create(&thread, NULL, swap, NULL) == 0);
	for (int i = 0; i < 3000; i++) {
		int fd = open(swapped, O_RDWR);
		if (fd < 0)
			continue;
		CHECK(!forbidden || ioctl(fd, GET_PROT_MASK) == 7);
		close(fd);
	}
	stop = 1;
	CHECK(pthread_join(thread, NULL) == 0);
}

/* Every number and argument that is wrong in some way. */
static void malformed(void)
{
	int fd = region(4096);
	unsigned seed = 1;
	map(fd, 4096, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 100000; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned long cmd = 0x7700 | (seed >> 8 & 0xff) | (seed & 0xffff0000);
		syscall(SYS_ioctl, i % 3 ? fd : (int)(seed >> 4), cmd,
			(unsigned long)seed << (i % 40));
	}
	CHECK(ioctl(fd, GET_SIZE) == 4096);
}

/*
 * A caller hands over memory that nobody can read until it says so (userfaultfd); the others go on
 * meanwhile.
 */
static void stuck(void)
{
	int faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (faults < 0) {
		puts("skipped: this user may not make a userfaultfd that holds the kernel up");
		exit(0);
	}
	struct uffdio_api api = {.api = UFFD_API};
	CHECK(ioctl(faults, UFFDIO_API, &api) == 0);
	pid_t child = fork();
	if (child == 0) {
		char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0);
		faults = syscall(SYS_userfaultfd, O_CLOEXEC);
		/* The first call has filled in every feature there is; none is wanted. */
		api.features = 0;
		CHECK(ioctl(faults, UFFDIO_API, &api) == 0);
		struct uffdio_register all =
			{.range = {(uintptr_t)page, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
		CHECK(ioctl(faults, UFFDIO_REGISTER, &all) == 0);
		ioctl(region(4096), SET_NAME, page);
		CHECK(!"back from a call that nobody could have answered");
	}
	usleep(50000);
	for (int i = 0; i < 20; i++)
		round_trip();
	CHECK(waitpid(child, NULL, WNOHANG) == 0);
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	round_trip();
}

/* Under READ_IMPLIES_EXEC a mask with READ has EXEC, also one that is set first of all. */
static void implied(void)
{
	int fd = region(4096);

	CHECK(personality(READ_IMPLIES_EXEC) >= 0);
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0 &&
		ioctl(fd, GET_PROT_MASK) == (PROT_READ | PROT_EXEC));
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_EXEC) == 0 && ioctl(fd, GET_PROT_MASK) == PROT_EXEC);
}

/* The device allows a mapping that the kernel has no room for. */
static void roomless(void)
{
	struct rlimit limit = {1UL << 28, 1UL << 28};
	int fd = region(1UL << 29);

	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	CHECK(mmap(NULL, 1UL << 29, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap(NULL, 1UL << 29, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED &&
		errno == ENOMEM);
	map(fd, 4096, PROT_READ);
}

/*
 * Clients know regions by their device number: the null device must have another one. At `fast` no
 * region has the node's number.
 */
static void null(void)
{
	struct stat node, other;

	CHECK(stat("/dev/ashmem", &node) == 0 && stat("/dev/null", &other) == 0);
	CHECK(S_ISCHR(node.st_mode));
	CHECK(getenv("ASHMEM_TEST_FAST") || node.st_rdev != other.st_rdev);
}

/*
 * Children ask a file server that never answers, in every way that a supervisor might ask it too;
 * the others go on.
 */
static void stalled(const char *path)
{
	for (int way = 0; way < 7; way++) {
		if (fork())
			continue;
		/*
		 * What it prints is nobody's, and its descriptors stay open for as long as the
		 * server likes.
		 */
		int file = open(path, O_RDWR), null = open("/dev/null", O_RDWR);
		CHECK(file >= 0 && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
			dup2(null, 2) == 2);
		/* The others put it where a region was. */
		int was = way > 3 ? region(4096) : -1;
		if (was >= 0)
			CHECK(ioctl(was, GET_SIZE) == 4096 && dup2(file, was) == was);
		if (way == 4)
			mmap(NULL, 4096, PROT_READ, MAP_SHARED, was, 0);
		else if (way == 5)
			fsync(was);
		else if (way == 6)
			file = was;
		if (way == 0)
			syscall(SYS_ioctl, file, GET_SIZE);
		else if (way == 1)
			mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
		else if (way == 2)
			fsync(file);
		struct stat status;
		fstat(file, &status);
		CHECK(!"back from a server that never answers");
	}
	usleep(100000);
	alarm(20);
	for (int i = 0; i < 20; i++)
		round_trip();
	alarm(0);
}

/* A number that was a region, and is another file by now, is that file. */
static void replaced(void)
{
	int fd = region(4096), file = open("/proc/self/exe", O_RDONLY), regular = 0;
	struct stat status;

	CHECK(file >= 0 && fstat(file, &status) == 0);
	regular = status.st_ino;
	for (int turn = 0; turn < 100; turn++) {
		int kept = dup(fd);
		CHECK(ioctl(fd, GET_SIZE) == 4096 && kept >= 0 && dup2(file, fd) == fd);
		if (turn % 4 == 1)
			CHECK(ioctl(fd, GET_SIZE) == -1 && errno == ENOTTY);
		if (turn % 4 == 2) {
			char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
			CHECK(at != MAP_FAILED && !memcmp(at, "\177ELF", 4));
			munmap(at, 4096);
		}
		if (turn % 4 == 3)
			CHECK(fsync(fd) == 0 || errno != EINVAL);
		CHECK(fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
			(int)status.st_ino == regular);
		/* A memfd of the program's own. */
		int own = memfd_create("own", 0);
		CHECK(ioctl(kept, GET_SIZE) == 4096 && own >= 0 && dup2(own, fd) == fd);
		CHECK(fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0);
		CHECK(dup2(kept, fd) == fd && close(kept) == 0 && close(own) == 0);
		if (!getenv("ASHMEM_TEST_FAST"))
			CHECK(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode));
		CHECK(ioctl(fd, GET_SIZE) == 4096);
		munmap(map(fd, 4096, PROT_READ), 4096);
	}
}

/* A memory that lives only where it is mapped: who holds an older one of the region gets it too. */
static void newer(void)
{
	for (int turn = 0; turn < 100; turn++) {
		int fd = region(4096), older = dup(fd);
		CHECK(older >= 0 && ioctl(fd, SET_SIZE, 8192) == 0);
		char *at = map(fd, 8192, PROT_READ | PROT_WRITE);
		strcpy(at + 4096, "newer");
		CHECK(close(fd) == 0);
		char *again = map(older, 8192, PROT_READ);
		CHECK(!strcmp(again + 4096, "newer"));
		CHECK(munmap(at, 8192) == 0 && munmap(again, 8192) == 0 && close(older) == 0);
	}
}

/* Waits until so many processes have come so often. */
static void meet(volatile int *come, int all, int turn)
{
	__sync_fetch_and_add(come, 1);
	while (*come < all * turn)
		usleep(20);
}

/*
 * Processes that ask at the same time, about one region of all and one of each: what one does shows
 * to the others where they share, and nowhere else.
 */
static void together(void)
{
	enum { ALL = 4, TURNS = 5, PAGE = 4096 };
	volatile int *come = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				  -1, 0);
	int common = region(ALL * PAGE), fresh[TURNS], status;

	CHECK(come != MAP_FAILED);
	char *shared = map(common, ALL * PAGE, PROT_READ | PROT_WRITE);
	for (int turn = 0; turn < TURNS; turn++) {
		fresh[turn] = open("/dev/ashmem", O_RDWR);
		/* At `--fidelity fast` it is a region from its first ioctl on. */
		CHECK(fresh[turn] >= 0 && ioctl(fresh[turn], GET_SIZE) == 0);
	}
	for (int me = 0; me < ALL; me++) {
		if (fork())
			continue;
		struct pin page = {me * PAGE, PAGE};
		char mine[256], name[256];
		for (int turn = 0; turn < TURNS; turn++) {
			/* The first to map the new one decides its size and name for all. */
			int fd = fresh[turn];
			sprintf(mine, "of %d in turn %d", me, turn);
			meet(&come[0], ALL, turn + 1);
			CHECK(ioctl(fd, SET_NAME, mine) == 0 &&
				ioctl(fd, SET_SIZE, (size_t)(ALL + me) * PAGE) == 0);
			meet(&come[1], ALL, turn + 1);
			int size = ioctl(fd, GET_SIZE);
			CHECK(size >= ALL * PAGE && size < 2 * ALL * PAGE && size % PAGE == 0);
			char *at = map(fd, size, PROT_READ | PROT_WRITE);
			CHECK(ioctl(fd, SET_SIZE, (size_t)1) == -1 && errno == EINVAL);
			sprintf(at + me * PAGE, "of %d", me);
			CHECK(ioctl(fd, GET_NAME, name) == 0 && strstr(name, "in turn"));
			strcpy(at + me * PAGE + 2048, name);
			meet(&come[2], ALL, turn + 1);
			for (int other = 0; other < ALL; other++) {
				sprintf(mine, "of %d", other);
				CHECK(!strcmp(at + other * PAGE, mine));
				CHECK(!strcmp(at + other * PAGE + 2048, name));
			}
			CHECK(ioctl(fd, GET_SIZE) == size && munmap(at, size) == 0);
			/* Of the common one, each has its page. */
			for (int i = 0; i < 50; i++) {
				CHECK(ioctl(common, GET_PIN_STATUS, &page) == 1);
				CHECK(ioctl(common, UNPIN, &page) == 0);
				CHECK(ioctl(common, GET_PIN_STATUS, &page) == 0);
				int purged = ioctl(common, PIN, &page);
				CHECK(purged == 0 || (purged == 1 && scarce()));
				shared[me * PAGE] = turn;
				CHECK(ioctl(common, GET_SIZE) == ALL * PAGE);
			}
			/* Of its own, all. */
			round_trip();
		}
		exit(0);
	}
	while (wait(&status) > 0)
		CHECK(status == 0);
	for (int me = 0; me < ALL; me++)
		CHECK(shared[me * PAGE] == TURNS - 1);
	struct pin whole = {0, 0};
	CHECK(ioctl(common, GET_PIN_STATUS, &whole) == 1);
}

/* One caller purges all that is unpinned, again and again, while others pin and unpin. */
static void purges(void)
{
	enum { ALL = 4, TURNS = 200, PAGE = 4096 };
	pid_t purger = fork(), children[ALL];
	int status;

	if (purger == 0)
		for (;;)
			if (ioctl(region(PAGE), PURGE_ALL_CACHES) < 0)
				exit(errno == EPERM ? 0 : 1);
	for (int me = 0; me < ALL; me++) {
		children[me] = fork();
		if (children[me])
			continue;
		struct pin page = {PAGE, PAGE};
		int fd = region(2 * PAGE);
		char *at = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE);
		at[0] = 1;
		for (int turn = 0; turn < TURNS; turn++) {
			at[PAGE] = 2;
			CHECK(ioctl(fd, UNPIN, &page) == 0);
			int purged = ioctl(fd, PIN, &page);
			/* What it says is so, and says it once. */
			CHECK(purged == 0 || purged == 1);
			CHECK(at[PAGE] == (purged ? 0 : 2) && at[0] == 1);
			CHECK(ioctl(fd, PIN, &page) == 0);
		}
		exit(0);
	}
	for (int me = 0; me < ALL; me++)
		CHECK(waitpid(children[me], &status, 0) == children[me] && status == 0);
	kill(purger, SIGKILL);
	CHECK(waitpid(purger, &status, 0) == purger);
	CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

/* MAP_DENYWRITE, which only loaders set and the kernel ignores, is no way around mmap's checks. */
static void denywrite(void)
{
	int unsized_fd = open("/dev/ashmem", O_RDWR), closed = region(4096), fd = region(4096);
	int shared = MAP_SHARED | MAP_DENYWRITE, own = MAP_PRIVATE | MAP_DENYWRITE;

	CHECK(unsized_fd >= 0 && ioctl(closed, SET_PROT_MASK, PROT_NONE) == 0);
	for (int prot = PROT_READ; prot <= (PROT_READ | PROT_WRITE); prot++) {
		CHECK(mmap(NULL, 4096, prot, shared, unsized_fd, 0) == MAP_FAILED &&
			errno == EINVAL);
		CHECK(mmap(NULL, 4096, prot, shared, closed, 0) == MAP_FAILED && errno == EPERM);
	}
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, own, closed, 0) == MAP_FAILED &&
		errno == EPERM);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, own, unsized_fd, 0) == MAP_FAILED &&
		errno == EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, shared, fd, 0) != MAP_FAILED);
	CHECK(ioctl(fd, SET_SIZE, (size_t)8192) == -1 && errno == EINVAL);
}

/*
 * What is written before the first mapping never shows, and a size that changes its mind is the
 * last one.
 */
static void written(void)
{
	char bytes[12288];
	int fd = open("/dev/ashmem", O_RDWR), other;

	memset(bytes, 'x', sizeof bytes);
	CHECK(fd >= 0);
	/* An open that is no region yet answers as its node does. */
	if (write(fd, bytes, sizeof bytes) < 0)
		CHECK(errno == EINVAL || errno == ENOSPC);
	CHECK(ioctl(fd, SET_SIZE, (size_t)4096) == 0);
	write(fd, bytes, sizeof bytes);
	pwrite(fd, bytes, 1, 1L << 30);
	pwrite(fd, bytes, 16, 0);
	char *at = map(fd, 4096, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 4096; i++)
		CHECK(at[i] == 0);
	CHECK(lseek(fd, 0, SEEK_END) == 4096 && ioctl(fd, GET_SIZE) == 4096);
	CHECK(mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);

	fd = region(4096);
	other = dup(fd);
	CHECK(ioctl(fd, SET_NAME, "twice") == 0);
	for (size_t size = 20480; size >= 8192; size -= 4096)
		CHECK(ioctl(fd, SET_SIZE, size) == 0 && ioctl(other, GET_SIZE) == (int)size);
	at = map(other, 8192, PROT_READ | PROT_WRITE);
	at[8191] = 'y';
	CHECK(map(fd, 8192, PROT_READ)[8191] == 'y' && lseek(fd, 0, SEEK_END) == 8192);
	CHECK(mmap(NULL, 12288, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(ioctl(region(4096), SET_SIZE, (size_t)0) == 0);
}

/*
 * Threads that put regions behind one number and map it: each mapping is of memory that is there.
 */
static int raced;

static void *replace(void *unused)
{
	for (int i = 0; i < 1500; i++) {
		int fd = region(4096);
		dup2(fd, raced);
		close(fd);
	}
	stop = 1;
	return unused;
}

static void descriptor_race(void)
{
	pthread_t thread;

	raced = dup(region(4096));
	CHECK(pthread_create(&thread, NULL, replace, NULL) == 0);
	while (!stop) {
		char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, raced, 0);
		if (at == MAP_FAILED)
			continue;
		at[4095] = 1;
		munmap(at, 4096);
	}
	CHECK(pthread_join(thread, NULL) == 0);
}

/* A number that the limit of open files has been lowered below still becomes a region. */
static void lowered(void)
{
	struct rlimit limit;
	int fd = open("/dev/ashmem", O_RDONLY);

	CHECK(fd >= 0 && dup2(fd, 100) == 100 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 50;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(ioctl(100, GET_PROT_MASK) == 7 && ioctl(100, SET_SIZE, (size_t)4096) == 0);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 50);
	/* Not beyond the hard limit, whatever the supervisor may raise. */
	limit.rlim_cur = 150;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	fd = open("/dev/ashmem", O_RDONLY);
	CHECK(fd >= 0 && dup2(fd, 101) == 101);
	char link[64] = "";
	int is_region = readlink("/proc/self/fd/101", link, sizeof link - 1) > 0 &&
		strstr(link, "memfd") != NULL;
	limit.rlim_cur = limit.rlim_max = 50;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(is_region || ioctl(101, SET_SIZE, (size_t)4096) == -1);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 50 &&
		limit.rlim_max == 50);
}

/* Opening a descriptor's path again makes a new region, by whatever number the path has. */
static void *open_again(void *number)
{
	char path[64];

	for (int way = 0; way < 4; way++) {
		int pid = getpid(), fd = *(int *)number;
		if (way == 0)
			sprintf(path, "/proc/self/fd/%d", fd);
		else if (way == 1)
			sprintf(path, "/proc/%d/fd/%d", pid, fd);
		else if (way == 2)
			sprintf(path, "/proc/%d/task/%d/fd/%d", pid, (int)syscall(SYS_gettid), fd);
		else
			sprintf(path, "/proc/self/task/%d/fd/%d", (int)syscall(SYS_gettid), fd);
		int again = open(path, O_RDWR);
		CHECK(again >= 0 && ioctl(again, GET_SIZE) == 0);
		close(again);
	}
	return NULL;
}

static void reopened(void)
{
	int fd = region(4096);
	pthread_t thread;

	if (getenv("ASHMEM_TEST_FAST")) {
		puts("skipped: at `fast` opening a descriptor's path gives the same region");
		exit(0);
	}
	open_again(&fd);
	CHECK(pthread_create(&thread, NULL, open_again, &fd) == 0 &&
		pthread_join(thread, NULL) == 0);
	/* In another pid namespace the number is another; its own /proc is the old one there. */
	if (unshare(CLONE_NEWPID) == 0) {
		pid_t child = fork();
		int status;
		if (child == 0) {
			char path[64];
			if (unshare(CLONE_NEWNS) ||
				mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
			    mount("proc", "/proc", "proc", 0, NULL))
				exit(0);
			sprintf(path, "/proc/%d/fd/%d", getpid(), fd);
			int again = open(path, O_RDWR);
			CHECK(getpid() == 1 && again >= 0 && ioctl(again, GET_SIZE) == 0);
			exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
}

/*
 * A root without a device in it, as an Android file system has before its init: it is found all the
 * same.
 */
static void elsewhere(void)
{
	char root[] = "/tmp/ashmem-root-XXXXXX";

	CHECK(mkdtemp(root) != NULL);
	int outside = open("/tmp", O_PATH | O_DIRECTORY);
	if (chroot(root)) {
		CHECK(rmdir(root) == 0);
		puts("skipped: this user may not change its root");
		exit(0);
	}
	CHECK(rmdir(root) == -1 && chdir("/") == 0);
	if (getenv("ASHMEM_TEST_FAST")) {
		puts("skipped: at `fast` no open of the path is looked at");
		exit(0);
	}
	int fd = open("/dev/ashmem", O_RDWR);
	CHECK(fd >= 0 && ioctl(fd, SET_SIZE, (size_t)4096) == 0);
	struct stat status;
	CHECK(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode));
	CHECK(map(fd, 4096, PROT_READ | PROT_WRITE)[0] == 0);
	CHECK(mkdir("/dev", 0755) == 0 && open("/dev/ashmem", O_RDWR) >= 0);
	int file = open("/dev/ashmem", O_WRONLY | O_CREAT | O_EXCL, 0644);
	/* With `--namespace never` the path is the device's, whatever lies there. */
	if (file >= 0) {
		CHECK((fd = open("/dev/ashmem", O_RDWR)) >= 0 && ioctl(fd, GET_PROT_MASK) == -1);
		CHECK(unlink("/dev/ashmem") == 0);
	}
	CHECK(rmdir("/dev") == 0);
	CHECK(unlinkat(outside, root + strlen("/tmp/"), AT_REMOVEDIR) == 0);
}

static void memfd(void)
{
	int fd = syscall(SYS_memfd_create, "libcutils", 2u);
	char name[256];
	CHECK(fd >= 0 && ftruncate(fd, 12345) == 0);
	CHECK(ioctl(fd, GET_SIZE) == 12345);
	CHECK(ioctl(fd, GET_PROT_MASK) == 7 && ioctl(fd, SET_SIZE, (size_t)1) == -1 &&
	      errno == EINVAL);
	CHECK(ioctl(fd, GET_NAME, name) == 0 && !strcmp(name, "libcutils"));
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0 &&
	      ioctl(fd, GET_PROT_MASK) == (PROT_READ | PROT_EXEC));
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ | PROT_WRITE) == -1 && errno == EINVAL);

	/* A bit that is no right is refused, and seals nothing. */
	fd = syscall(SYS_memfd_create, "odd", 2u);
	for (long mask = 8; mask != 0; mask = mask == 8 ? 10 : mask == 10 ? -1 : 0)
		CHECK(ioctl(fd, SET_PROT_MASK, mask) == -1 && errno == EINVAL &&
			ioctl(fd, GET_PROT_MASK) == 7);

	/*
	 * A caller that may only read a memfd cannot take away others' right to write to it;
	 * F_ADD_SEALS would refuse that too.
	 */
	fd = syscall(SYS_memfd_create, "another's", 2u);
	CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
	sprintf(name, "/proc/self/fd/%d", fd);
	int reader = open(name, O_RDONLY);
	CHECK(reader >= 0 && ioctl(reader, SET_PROT_MASK, PROT_READ) == -1 && errno == EPERM);
	CHECK(ioctl(fd, GET_PROT_MASK) == 7 && map(fd, 4096, PROT_READ | PROT_WRITE)[0] == 0);
}

/*
 * One thread takes away the page that another has the supervisor read and write: EFAULT or an
 * answer, and it goes on.
 */
static char *flickering;

static void *flicker(void *unused)
{
	while (!stop) {
		CHECK(munmap(flickering, 4096) == 0);
		/* Only here: another thread must not find its memory replaced. */
		mmap(flickering, 4096, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	}
	return unused;
}

static void unmapped(void)
{
	int fd = region(65536), faults = 0;
	pthread_t thread;
	flickering = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pthread_create(&thread, NULL, flicker, NULL) == 0);
	for (int i = 0; i < 3000; i++) {
		unsigned long cmd[] = {GET_NAME, SET_NAME, UNPIN, PIN, GET_PIN_STATUS};
		if (ioctl(fd, cmd[i % 5], flickering) >= 0)
			continue;
		CHECK(errno == EFAULT || errno == EINVAL);
		faults += errno == EFAULT;
	}
	stop = 1;
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(faults > 0 && ioctl(fd, GET_SIZE) == 65536);
	round_trip();
}

/*
 * A process is killed in its calls and its number given to the next, which has other things behind
 * the same descriptors.
 */
static void reused(void)
{
	int control = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC), again = 0;
	if (control < 0) {
		puts("skipped: this user may not choose the next process's number");
		exit(0);
	}
	pid_t before = getpid();
	for (int i = 0; i < 200; i++) {
		size_t size = 4096 * (1 + i);
		char number[16];
		int length = sprintf(number, "%d", before - 1);
		if (pwrite(control, number, length, 0) != length && errno == EPERM) {
			puts("skipped: this user may not choose the next process's number");
			exit(0);
		}
		pid_t child = fork();
		if (child == 0) {
			int fd = region(size);
			for (;;)
				CHECK(ioctl(fd, GET_SIZE) == (int)size &&
				      map(fd, size, PROT_READ) && ioctl(fd, GET_PROT_MASK) == 7);
		}
		again += child == before;
		before = child;
		usleep(500 + i * 13);
		int status;
		CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child &&
		      WTERMSIG(status) == SIGKILL);
	}
	/* Where others take numbers too, some go to them. */
	CHECK(again > 0);
	round_trip();
}

/*
 * The supervisor is killed, which ends the program and its child: neither gets to say that it lives
 * on.
 */
static void alone(void)
{
	int fd = region(4096);
	pid_t supervisor = getppid(), child = fork();

	if (child != 0) {
		printf("%d %d\n", getpid(), child);
		fflush(stdout);
		CHECK(kill(supervisor, SIGKILL) == 0);
	}
	for (;;) {
		ioctl(fd, GET_SIZE);
		usleep(1000);
	}
}

/* A process that may not be looked at by its own user: it has no device, and nothing worse. */
static void undumpable(void)
{
	CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	int fd = open("/dev/ashmem", O_RDWR);
	if (fd >= 0 && ioctl(fd, GET_PROT_MASK) != 7)
		CHECK(errno == ENOTTY);
	puts(fd >= 0 && ioctl(fd, GET_PROT_MASK) == 7 ? "seen" : "unseen");
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	round_trip();
}

/*
 * Says who supervises, then makes and drops regions in four processes with each line it is given.
 */
static void churn(void)
{
	char line[16];

	printf("%d\n", getppid());
	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < 4; i++) {
			if (fork())
				continue;
			for (int times = 0; times < 1000; times++) {
				struct pin half = {0, 4096};
				int fd = open("/dev/ashmem", O_RDWR | O_CLOEXEC);
				char *at;

				CHECK(fd >= 0 && ioctl(fd, SET_NAME, "churn") == 0 &&
					ioctl(fd, SET_SIZE, 8192) == 0);
				at = map(fd, 8192, PROT_READ | PROT_WRITE);
				*at = 1;
				CHECK(ioctl(fd, UNPIN, &half) == 0);
				CHECK(munmap(at, 8192) == 0 && close(fd) == 0);
			}
			exit(0);
		}
		for (int i = 0, status; i < 4; i++)
			CHECK(wait(&status) > 0 && status == 0);
		printf("ok\n");
	}
}

/*
 * Gives a region whose mask is READ through standard input, a socket, to a program under another
 * supervisor, and takes such a one from there. What the region's maker withheld stays withheld.
 */
static void message_of(struct msghdr *message, struct iovec *data, char *space, size_t size)
{
	*message = (struct msghdr){.msg_iov = data, .msg_iovlen = 1, .msg_control = space,
				   .msg_controllen = size};
}

static void give(void)
{
	char byte = 'x', space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {&byte, 1};
	struct msghdr message;
	int fd = region(4096);

	map(fd, 4096, PROT_READ | PROT_WRITE)[0] = 1;
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0);
	message_of(&message, &data, space, sizeof space);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	CHECK(sendmsg(0, &message, 0) == 1);
}

/* Whether any call refuses what EXEC needs; how a refusal is called depends on why. */
static void take(int is_want)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec data = {&byte, 1};
	struct msghdr message;
	int fd;

	/* So that mmap is answered inside, where it can be. */
	for (int i = 0; i < 4 && !is_want; i++) {
		fd = region(4096);
		CHECK(munmap(map(fd, 4096, PROT_READ), 4096) == 0 && close(fd) == 0);
	}
	message_of(&message, &data, space, sizeof space);
	CHECK(recvmsg(0, &message, 0) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	/* The number that the test's sandbox keeps the supervisor from. */
	CHECK((fd = dup2(fd, 77)) == 77);
	int rx = PROT_READ | PROT_EXEC, refusal = is_want ? ENOMEM : EPERM;
	if (!is_want) {
		char *at = map(fd, 4096, PROT_READ);
		CHECK(at[0] == 1);
		CHECK(mprotect(at, 4096, rx) == -1 && errno == EACCES);
	}
	CHECK(mmap(NULL, 4096, rx, MAP_SHARED, fd, 0) == MAP_FAILED && errno == refusal);
	CHECK(is_want || ioctl(fd, GET_PROT_MASK) == PROT_READ);
	/* Under the personality a mapping that may be read may be executed. */
	CHECK(personality(READ_IMPLIES_EXEC) >= 0);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == refusal);
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "round-trip";

	if (!strcmp(verb, "round-trip"))
		round_trip();
	else if (!strcmp(verb, "private"))
		private();
	else if (!strcmp(verb, "relative"))
		relative();
	else if (!strcmp(verb, "inherit"))
		inherit(words[0]);
	else if (!strcmp(verb, "inherited"))
		inherited(atoi(words[2]));
	else if (!strcmp(verb, "pass"))
		pass();
	else if (!strcmp(verb, "threads"))
		threads();
	else if (!strcmp(verb, "crowd"))
		crowd(200);
	else if (!strcmp(verb, "interrupted"))
		interrupted();
	else if (!strcmp(verb, "stopped"))
		stopped();
	else if (!strcmp(verb, "killed"))
		killed();
	else if (!strcmp(verb, "race"))
		race();
	else if (!strcmp(verb, "malformed"))
		malformed();
	else if (!strcmp(verb, "stuck"))
		stuck();
	else if (!strcmp(verb, "stalled"))
		stalled(words[2]);
	else if (!strcmp(verb, "replaced"))
		replaced();
	else if (!strcmp(verb, "newer"))
		newer();
	else if (!strcmp(verb, "together"))
		together();
	else if (!strcmp(verb, "purges"))
		purges();
	else if (!strcmp(verb, "denywrite"))
		denywrite();
	else if (!strcmp(verb, "written"))
		written();
	else if (!strcmp(verb, "descriptor-race"))
		descriptor_race();
	else if (!strcmp(verb, "lowered"))
		lowered();
	else if (!strcmp(verb, "reopened"))
		reopened();
	else if (!strcmp(verb, "elsewhere"))
		elsewhere();
	else if (!strcmp(verb, "implied"))
		implied();
	else if (!strcmp(verb, "roomless"))
		roomless();
	else if (!strcmp(verb, "null"))
		null();
	else if (!strcmp(verb, "memfd"))
		memfd();
	else if (!strcmp(verb, "give"))
		give();
	else if (!strcmp(verb, "take"))
		take(0);
	else if (!strcmp(verb, "take-in-want"))
		take(1);
	else if (!strcmp(verb, "unmapped"))
		unmapped();
	else if (!strcmp(verb, "reused"))
		reused();
	else if (!strcmp(verb, "alone"))
		alone();
	else if (!strcmp(verb, "churn")) {
		churn();
		return 0;
	} else if (!strcmp(verb, "undumpable"))
		undumpable();
	else
		CHECK(!"a verb that is known");
	puts("ok");
	return 0;
}
