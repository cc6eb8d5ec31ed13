/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One program that uses its regions: what each call answers. */
#include "client.h"

void round_trip(void)
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
void private(void)
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

void relative(void)
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

void inherit(char *self)
{
	int fd = region(4096);
	char number[16];

	strcpy(map(fd, 4096, PROT_READ | PROT_WRITE), "inherited");
	CHECK(fcntl(fd, F_SETFD, 0) == 0);
	sprintf(number, "%d", fd);
	execl(self, self, "inherited", number, NULL);
	CHECK(!"execl");
}

void inherited(int fd)
{
	CHECK(ioctl(fd, GET_SIZE) == 4096 && !strcmp(map(fd, 4096, PROT_READ), "inherited"));
}

void pass(void)
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

/* Under READ_IMPLIES_EXEC a mask with READ has EXEC, also one that is set first of all. */
void implied(void)
{
	int fd = region(4096);

	CHECK(personality(READ_IMPLIES_EXEC) >= 0);
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0 &&
		ioctl(fd, GET_PROT_MASK) == (PROT_READ | PROT_EXEC));
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_EXEC) == 0 && ioctl(fd, GET_PROT_MASK) == PROT_EXEC);
}

/* The device allows a mapping that the kernel has no room for. */
void roomless(void)
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
void null(void)
{
	struct stat node, other;

	CHECK(stat("/dev/ashmem", &node) == 0 && stat("/dev/null", &other) == 0);
	CHECK(S_ISCHR(node.st_mode));
	CHECK(getenv("ASHMEM_TEST_FAST") || node.st_rdev != other.st_rdev);
}

/* A number that was a region, and is another file by now, is that file. */
void replaced(void)
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
void newer(void)
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

/* MAP_DENYWRITE, which only loaders set and the kernel ignores, is no way around mmap's checks. */
void denywrite(void)
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
void written(void)
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

/* A number that the limit of open files has been lowered below still becomes a region. */
void lowered(void)
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

void reopened(void)
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
void elsewhere(void)
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

void memfd(void)
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
