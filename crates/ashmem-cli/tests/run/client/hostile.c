/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Callers that would hold the supervisor up, mislead it or end it. */
#include "client.h"

/*
 * The supervisor is stopped at any moment of an answer, as a debugger or a freezer stops it: every
 * call gets its own answer all the same.
 */
void stopped(void)
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
void killed(void)
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

void race(void)
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
void malformed(void)
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
void stuck(void)
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

/*
 * Children ask a file server that never answers, in every way that a supervisor might ask it too;
 * the others go on.
 */
void stalled(const char *path)
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

void descriptor_race(void)
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

void unmapped(void)
{
	int fd = region(65536), faults = 0;
	pthread_t thread;
	flickering = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pthread_create(&thread, NULL, flicker, NULL) == 0);
	/* What is answered inside may be done before the other thread has had its turn. */
	for (int i = 0; i < 3000 || (faults == 0 && i < 3000000); i++) {
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
void reused(void)
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
void alone(void)
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
void undumpable(void)
{
	CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	int fd = open("/dev/ashmem", O_RDWR);
	if (fd >= 0 && ioctl(fd, GET_PROT_MASK) != 7)
		CHECK(errno == ENOTTY);
	puts(fd >= 0 && ioctl(fd, GET_PROT_MASK) == 7 ? "seen" : "unseen");
	CHECK(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	round_trip();
}
