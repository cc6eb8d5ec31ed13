/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program in which calls are answered, and what honest and hostile ones do to that. Run under
 * `ashmem run --inside at-once`; each verb prints "ok" and exits 0, or says what was wrong and
 * exits 1. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "device.h"

/* Where the code lies, and how much may be covered on each side of it. */
#ifdef __aarch64__
#define WINDOW ((char *)0x1a5e00000)
#define AROUND 0x100000000
#else
#define WINDOW ((char *)0x1a5e00000000)
#define AROUND 0x10000000000
#endif
#define WINDOW_SIZE 0x4000

extern char __executable_start, etext;
extern char **environ;
/* Under a debugger a private mapping shows the region's content. */
static int is_traced;

static void round_trip(void)
{
	struct stat status;
	char name[256];
	int fd = region(5000);
	CHECK(ioctl(fd, SET_NAME, "inside") == 0);
	CHECK(ioctl(fd, GET_NAME, name) == 0 && !strcmp(name, "inside"));
	CHECK(ioctl(fd, GET_SIZE) == 5000 && ioctl(fd, GET_PROT_MASK) == 7);
	CHECK(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_size == 0);
	char *at = map(fd, 8192, PROT_READ | PROT_WRITE);
	at[0] = 5;
	char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(private != MAP_FAILED && (is_traced || private[0] == 0));
	CHECK(ioctl(fd, SET_SIZE, (size_t)1) == -1 && errno == EINVAL);
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0 && ioctl(fd, GET_PROT_MASK) == PROT_READ);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
	      errno == EPERM);
	CHECK(munmap(at, 8192) == 0 && munmap(private, 4096) == 0 && close(fd) == 0);
}

static int is_inside(void)
{
	/* mincore says ENOMEM where nothing is mapped. */
	unsigned char pages[WINDOW_SIZE / 4096];
	return mincore(WINDOW, WINDOW_SIZE, pages) == 0;
}

/* Calls until the code is there and every site of round_trip leads to it. */
static void warm(void)
{
	for (int i = 0; i < 16; i++)
		round_trip();
	CHECK(is_inside());
}

static uint64_t text(void)
{
	uint64_t sum = 0;
	for (char *at = &__executable_start; at < &etext; at++)
		sum = sum * 31 + (unsigned char)*at;
	return sum;
}

/* A program that looks at its own text sees it unchanged where its calls are the C library's, and
 * works in any case. */
static void sums(int is_static)
{
	uint64_t before = text();
	warm();
	CHECK(is_static || text() == before);
	round_trip();
}

/* An honest program puts memory of its own where the code lies: its calls are notified from then
 * on. */
static void fixed(void)
{
	warm();
	char *at = mmap(WINDOW, 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(at == WINDOW);
	memset(at, 0xcc, 4096);
	for (int i = 0; i < 50; i++)
		round_trip();
	CHECK((unsigned char)at[4095] == 0xcc);
}

/* A hostile one unmaps it, or writes what it likes there: it harms itself alone. */
static void broken(void)
{
	warm();
	for (int way = 0; way < 3; way++) {
		pid_t child = fork();
		if (child == 0) {
			if (way == 0)
				munmap(WINDOW, WINDOW_SIZE);
			else if (mprotect(WINDOW, WINDOW_SIZE, PROT_READ | PROT_WRITE) == 0 &&
				 way == 1)
				memset(WINDOW, 0xff, WINDOW_SIZE);
			else
				for (size_t i = 0; i < WINDOW_SIZE / 8; i++)
					((uint64_t *)WINDOW)[i] = (uint64_t)&__executable_start + i;
			/* The C library's other sites are not patched yet: these are notified, with
			 * all that is wrong here. */
			struct stat status;
			int fd = syscall(SYS_openat, AT_FDCWD, "/dev/ashmem", O_RDWR);
			syscall(SYS_ioctl, fd, GET_SIZE);
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL);
			fstat(fd, &status);
			exit(0);
		}
		int status;
		CHECK(waitpid(child, &status, 0) == child);
		CHECK(WIFEXITED(status) || WTERMSIG(status) == SIGSEGV ||
		      WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP ||
		      WTERMSIG(status) == SIGBUS);
		round_trip();
	}
}

/* A program confines itself to the calls that it makes: those that answers need are not among
 * them. */
static void confined(int by_prctl)
{
	static const int allowed[] = {
		#ifdef SYS_open
		SYS_open,
#endif
		SYS_read, SYS_write, SYS_close, SYS_openat,
		SYS_ioctl, SYS_mmap, SYS_munmap, SYS_fstat, SYS_newfstatat,
		SYS_exit, SYS_exit_group, SYS_mincore, SYS_brk, SYS_getrandom,
	};
	enum { COUNT = sizeof allowed / sizeof allowed[0] };
	struct sock_filter code[2 * COUNT + 2], *at = code;
	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++) {
		*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
		*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	struct sock_fprog program = {at - code, code};
	warm();
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (by_prctl)
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	else
		CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
	for (int i = 0; i < 100; i++)
		round_trip();
}

/* Bits of the state are forged: no right to write comes of it, and nobody else's file is harmed. */
static void forged(void)
{
	warm();
	int fd = region(8192), again;
	char path[64], *at = map(fd, 8192, PROT_READ | PROT_WRITE);
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0);
	for (int mode = 0; mode < 010000; mode += 0111) {
		if (fchmod(fd, mode) != 0)
			continue;
		ioctl(fd, GET_PROT_MASK);
		ioctl(fd, SET_SIZE, (size_t)4096);
		ioctl(fd, SET_NAME, "forged");
		CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
		CHECK(write(fd, "x", 1) == -1);
		void *readable = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(readable == MAP_FAILED ||
		      mprotect(readable, 8192, PROT_READ | PROT_WRITE) == -1);
	}
	CHECK(fchmod(fd, 01777) == 0);
	CHECK((ioctl(fd, GET_PROT_MASK) & PROT_WRITE) == 0 && ioctl(fd, GET_SIZE) == 8192);
	at[8191] = 1;
	sprintf(path, "/proc/self/fd/%d", fd);
	again = syscall(SYS_openat2, AT_FDCWD, path, &(uint64_t[3]){O_RDWR}, 24);
	CHECK(again < 0 || mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED ||
	      ioctl(again, GET_SIZE) == 0);
	/* A file of another kind does not become a region by its mode. */
	FILE *file = tmpfile();
	CHECK(file != NULL && fchmod(fileno(file), 01777) == 0 && ftruncate(fileno(file), 10) == 0);
	CHECK(ioctl(fileno(file), GET_SIZE) == -1 && errno == ENOTTY);
	CHECK(ioctl(fileno(file), SET_SIZE, (size_t)0) == -1 && errno == ENOTTY);
	/* A memfd of the program's own does, for it is its own: it may seal it itself as well. */
	int own = syscall(SYS_memfd_create, "own", 2u);
	CHECK(own >= 0 && fchmod(own, 01777) == 0 && ioctl(own, SET_SIZE, (size_t)4096) == 0 &&
	      ioctl(own, GET_SIZE) == 4096);
	/* One that takes no seals cannot promise its size. */
	int unsealed = syscall(SYS_memfd_create, "unsealed", 0u);
	CHECK(unsealed >= 0 && ftruncate(unsealed, 4096) == 0 && fchmod(unsealed, 01777) == 0);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, unsealed, 0) == MAP_FAILED);
	round_trip();
}

/* Threads swap what lies behind a number in the middle of its calls. What comes of it may end the
 * program, as it may for any that does this to itself; no other file is changed. */
static int number, victim;
static volatile int stop;

static void *swap(void *unused)
{
	int first = region(8192), second = open("/dev/ashmem", O_RDWR);
	map(first, 8192, PROT_READ);
	while (!stop) {
		dup2(first, number);
		dup2(second, number);
		dup2(victim, number);
	}
	return unused;
}

static void racing(void)
{
	pthread_t threads[2];
	struct stat status;
	char name[] = "/tmp/ashmem-inside-XXXXXX", block[4096] = {1};
	warm();
	number = region(4096);
	victim = mkstemp(name);
	CHECK(victim >= 0 && unlink(name) == 0 && write(victim, block, 4096) == 4096);
	pid_t child = fork();
	if (child) {
		int how;
		CHECK(waitpid(child, &how, 0) == child && (how == 0 || WTERMSIG(how) == SIGBUS));
		CHECK(fstat(victim, &status) == 0 && status.st_size == 4096 &&
		      S_ISREG(status.st_mode));
		for (int i = 0; i < 50; i++)
			round_trip();
		return;
	}
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, swap, NULL) == 0);
	for (int i = 0; i < 20000; i++) {
		char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0);
		if (at != MAP_FAILED) {
			/* Whatever was mapped has this page. */
			*(volatile char *)at;
			munmap(at, 4096);
		}
		ioctl(number, SET_SIZE, (size_t)(i % 3 ? 0 : 4096));
		ioctl(number, GET_SIZE);
		if (i % 16 == 0)
			ioctl(number, SET_NAME, "swapped");
	}
	stop = 1;
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	exit(0);
}

/* Eight threads start programs and use the device, while sites are patched. */
static void *spawning(void *unused)
{
	for (int i = 0; i < 40; i++) {
		char *self = "/proc/self/exe", *words[] = {"inside", "nothing", NULL};
		pid_t child;
		int status;
		if (i % 2) {
			CHECK(posix_spawn(&child, self, NULL, NULL, words, environ) == 0);
		} else {
			child = vfork();
			if (child == 0) {
				int fd = open("/dev/ashmem", O_RDWR);
				ioctl(fd, GET_SIZE);
				close(fd);
				execv(self, words);
				_exit(127);
			}
			CHECK(child > 0);
		}
		round_trip();
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	return unused;
}

static void spawns(void)
{
	pthread_t all[8];
	for (int i = 0; i < 8; i++)
		CHECK(pthread_create(&all[i], NULL, spawning, NULL) == 0);
	for (int i = 0; i < 8; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
	warm();
}

/* Limits that the answers' own calls could run into. */
static void limited(void)
{
	struct rlimit none = {0, 0}, few = {16, 16};
	warm();
	int fd = open("/dev/ashmem", O_RDWR), last = -1;
	CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
	CHECK(ioctl(fd, SET_SIZE, (size_t)12345) == 0 && ioctl(fd, GET_SIZE) == 12345);
	CHECK(close(fd) == 0 && setrlimit(RLIMIT_NOFILE, &few) == 0);
	for (int next; (next = open("/dev/null", O_RDONLY)) >= 0;)
		last = next;
	CHECK(last == 15 && close(last) == 0);
	/* The last number that there is: nothing is left for a second descriptor. */
	fd = open("/dev/ashmem", O_RDWR);
	CHECK(fd == 15 && ioctl(fd, GET_PROT_MASK) == 7 && ioctl(fd, SET_SIZE, (size_t)4096) == 0);
	CHECK(ioctl(fd, SET_NAME, "last") == 0);
	map(fd, 4096, PROT_READ | PROT_WRITE)[0] = 1;
	CHECK(open("/dev/ashmem", O_RDWR) == -1 && errno == EMFILE);
}

/* No address space is left for the code: the calls stay notified. */
static void cramped(void)
{
	char text[64] = {0};
	/* The loader's calls may have brought it. */
	int was_inside = is_inside();
	int fd = open("/proc/self/statm", O_RDONLY);
	CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
	/* As much as round_trip maps at once, which is less than the code is long. */
	rlim_t pages = strtoul(text, NULL, 10) + 3;
	struct rlimit limit = {pages * 4096, pages * 4096};
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
	for (int i = 0; i < 300; i++)
		round_trip();
	CHECK(is_inside() == was_inside);
}

/* Sizes that no file can have, until the first mapping. */
static void sizes(void)
{
	warm();
	int fd = open("/dev/ashmem", O_RDWR);
	CHECK(ioctl(fd, SET_SIZE, SIZE_MAX) == 0 && ioctl(fd, GET_SIZE) == -1);
	CHECK(ioctl(fd, SET_SIZE, (size_t)0x8000000000001000) == 0 && ioctl(fd, GET_SIZE) == 4096);
	CHECK(ioctl(fd, SET_SIZE, (size_t)0x100002000) == 0 && ioctl(fd, GET_SIZE) == 8192);
	CHECK(ioctl(fd, SET_SIZE, (size_t)6000) == 0 && ioctl(fd, GET_SIZE) == 6000);
	map(fd, 8192, PROT_READ | PROT_WRITE)[8191] = 1;
	round_trip();
}

/* A copied descriptor stays the same region, whatever name one of them sets. */
static void copied(void)
{
	char name[256];
	warm();
	int fd = region(4096), copy = dup(fd);
	CHECK(ioctl(fd, SET_NAME, "of both") == 0);
	CHECK(ioctl(copy, GET_NAME, name) == 0 && !strcmp(name, "of both"));
	CHECK(ioctl(fd, SET_SIZE, (size_t)8192) == 0 && ioctl(copy, GET_SIZE) == 8192);
	map(fd, 8192, PROT_READ | PROT_WRITE)[4096] = 7;
	CHECK(map(copy, 8192, PROT_READ)[4096] == 7);
	CHECK(ioctl(fd, SET_NAME, "too late") == -1 && errno == EINVAL);
	/* A right that was given up stays so after a new name. */
	fd = region(4096);
	CHECK(ioctl(fd, SET_PROT_MASK, PROT_READ) == 0 && ioctl(fd, SET_NAME, "read-only") == 0);
	CHECK(ioctl(fd, GET_PROT_MASK) == PROT_READ);
	CHECK(mprotect(map(fd, 4096, PROT_READ), 4096, PROT_READ | PROT_WRITE) == -1 &&
	      errno == EACCES);
}

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

/* A file that can be executed. */
static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

static char folder[] = "/tmp/ashmem-inside-XXXXXX", script[64], interpreter[64];

static void *execute(void *unused)
{
	char *words[] = {script, NULL};
	execve(script, words, environ);
	return unused;
}

/* Threads that execute a file which somebody holds back: nobody else waits with them. */
static void executing(void)
{
	enum { VICTIMS = 8 };
	pid_t victims[VICTIMS];
	char text[80], name[256];
	int ready[2], result;
	CHECK(mkdtemp(folder) != NULL && pipe(ready) == 0);
	sprintf(script, "%s/script", folder);
	sprintf(interpreter, "%s/interpreter", folder);
	sprintf(text, "#!%s\n", interpreter);
	put(script, text);
	put(interpreter, "");
	warm();
	int fd = region(4096);
	pid_t holder = fork();
	if (holder == 0) {
		signal(SIGIO, SIG_IGN);
		int held = open(interpreter, O_WRONLY);
		result = fcntl(held, F_SETLEASE, F_WRLCK);
		CHECK(write(ready[1], &result, sizeof result) == sizeof result);
		sleep(60);
		_exit(0);
	}
	CHECK(read(ready[0], &result, sizeof result) == sizeof result);
	for (int i = 0; result == 0 && i < VICTIMS; i++) {
		if ((victims[i] = fork()) == 0) {
			pthread_t thread;
			pthread_create(&thread, NULL, execute, NULL);
			usleep(200000);
			/* A site that is not patched yet, and a private mapping. */
			for (int k = 0; k < 4; k++)
				syscall(SYS_ioctl, fd, GET_SIZE);
			mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
			syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
			pause();
		}
	}
	double end = now() + 2.5;
	while (result == 0 && now() < end) {
		CHECK(ioctl(fd, GET_NAME, name) == 0);
		usleep(1000);
	}
	/* Whoever had waited with them would be here after the end of the lease. */
	if (result == 0)
		CHECK(open(interpreter, O_RDONLY | O_NONBLOCK) == -1 && errno == EWOULDBLOCK);
	for (int i = 0; result == 0 && i < VICTIMS; i++)
		kill(victims[i], SIGKILL);
	kill(holder, SIGKILL);
	unlink(script);
	unlink(interpreter);
	rmdir(folder);
}

#ifdef __x86_64__
/* The end of a longer instruction looks like the one that loads a call's number. */
static void lookalike(void)
{
	int file = open("/proc/self/exe", O_RDONLY);
	CHECK(file >= 0 && dup2(file, SYS_mmap) == SYS_mmap);
	for (int i = 0; i < 20; i++) {
		long at;
		register long flags __asm__("r10") = MAP_PRIVATE, fd __asm__("r8") = 77,
				    offset __asm__("r9") = 0;
		/* mov eax, 9; mov r8d, 9; syscall. */
		__asm__ volatile("mov $9, %%eax\n\t.byte 0x41, 0xb8, 9, 0, 0, 0\n\tsyscall"
				 : "=a"(at), "+r"(fd)
				 : "D"(0L), "S"(4096L), "d"((long)PROT_READ), "r"(flags),
				   "r"(offset)
				 : "rcx", "r11", "memory");
		CHECK(at > 0 && memcmp((char *)at, "\177ELF", 4) == 0);
		munmap((char *)at, 4096);
	}
}
#endif

/* Other threads use the device; who takes the lowest number, or one of his choice, gets it. */
static int mapped, named;

static void *using(void *unused)
{
	for (int i = 0; !stop; i++) {
		char *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, mapped, 0);
		CHECK(at != MAP_FAILED && munmap(at, 4096) == 0);
		ioctl(named, SET_SIZE, (size_t)4096);
		if (i % 8 == 0)
			CHECK(ioctl(named, SET_NAME, i % 16 ? "one" : "other") == 0);
	}
	return unused;
}

static void numbers(void)
{
	pthread_t thread;
	int wrong = 0, lost = 0;
	warm();
	mapped = region(4096), named = region(4096);
	map(mapped, 4096, PROT_READ);
	int high = fcntl(open("/dev/zero", O_RDONLY), F_DUPFD, 100);
	CHECK(high >= 100 && pthread_create(&thread, NULL, using, NULL) == 0);
	for (int i = 0; i < 30000; i++) {
		close(0);
		int got = dup(high);
		if (got != 0) {
			wrong++;
			close(got);
		}
		close(0);
		lost += dup2(high, 0) != 0;
		sched_yield();
		lost += fcntl(0, F_GETFD) < 0;
	}
	stop = 1;
	CHECK(pthread_join(thread, NULL) == 0);
	if (wrong || lost)
		printf("%d numbers were another, %d were lost\n", wrong, lost);
	CHECK(wrong == 0 && lost == 0);
}

/* A thread that is cancelled in its open runs the cleanups of all its frames. */
static volatile int cleaned;

static void clean(int *unused)
{
	(void)unused;
	cleaned = 1;
}

static void *opening(void *unused)
{
	int guard __attribute__((cleanup(clean))) = 0;
	for (;;) {
		int fd = open("/dev/ashmem", O_RDWR);
		if (fd >= 0)
			close(fd);
		guard++;
	}
	return unused;
}

static void cancelled(void)
{
	int missed = 0;
	warm();
	for (int i = 0; i < 60; i++) {
		pthread_t thread;
		cleaned = 0;
		CHECK(pthread_create(&thread, NULL, opening, NULL) == 0);
		usleep(1000 + i * 37 % 2000);
		CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
		missed += !cleaned;
	}
	if (missed)
		printf("%d cleanups of 60 did not run\n", missed);
	CHECK(missed == 0);
}

/* The calls that answers are made of, and this program does not make, end it. */
static void confine(void)
{
	static const int others[] = {
		SYS_fcntl, SYS_dup3, SYS_fchmod, SYS_memfd_create, SYS_ftruncate,
		SYS_statx, SYS_prlimit64, SYS_process_vm_readv, SYS_flock, SYS_unshare,
	};
	enum { COUNT = sizeof others / sizeof others[0] };
	struct sock_filter code[2 * COUNT + 2], *at = code;
	*at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++) {
		*at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, others[i], 0, 1);
		*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	*at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {at - code, code};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

static volatile int phase;

static void *filtered(void *unused)
{
	confine();
	phase = 1;
	while (phase == 1)
		usleep(1000);
	for (int i = 0; i < 8; i++)
		round_trip();
	return unused;
}

/* One thread has a filter of its own before the others use the device. */
static void filtered_thread(void)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, filtered, NULL) == 0);
	while (phase == 0)
		usleep(1000);
	for (int i = 0; i < 16; i++)
		round_trip();
	phase = 2;
	CHECK(pthread_join(thread, NULL) == 0);
}

/* A process that nobody may look at any more filters itself, and so does its child. */
static void undumpable(void)
{
	int status;
	warm();
	CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	pid_t child = fork();
	confine();
	/* Nobody who is not root answers them now. */
	int fd = open("/dev/ashmem", O_RDWR);
	ioctl(fd, SET_SIZE, (size_t)4096);
	ioctl(fd, GET_SIZE);
	if (child == 0)
		_exit(0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* A program has its own calls sent to itself, but for those from where its code lies. */
static volatile char dispatches;

static void dispatched(void)
{
	warm();
	int is_low = (uintptr_t)syscall < (uintptr_t)WINDOW;
	unsigned long from = is_low ? 1 : (uintptr_t)WINDOW + WINDOW_SIZE;
	unsigned long len = is_low ? (uintptr_t)WINDOW - 1 : 0x7ffffffff000 - from;
	if (syscall(SYS_prctl, 59, 1, from, len, &dispatches) != 0)
		return;
	dispatches = 1;
	int fd = open("/dev/ashmem", O_RDWR);
	int size = ioctl(fd, GET_SIZE);
	dispatches = 0;
	CHECK(fd >= 0 && size == 0);
}

/* Each way to put other memory where the code lies ends the answers. */
static void covered(void)
{
	warm();
	for (int way = 0; way < 5; way++) {
		pid_t child = fork();
		if (child == 0) {
			void *at = MAP_FAILED;
			int file = open("/proc/self/exe", O_RDONLY);
			char *other = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			int hidden = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
			if (way == 0)
				at = mmap(WINDOW, 8192, PROT_READ, MAP_PRIVATE | MAP_FIXED, file,
					  0);
			else if (way == 1)
				at = mmap(WINDOW - AROUND, 2 * AROUND, PROT_NONE, hidden, -1, 0);
			else if (way == 2)
				at = mmap(WINDOW - 0x10000, 0x20000, PROT_NONE, hidden, -1, 0);
			else if (way == 3)
				at = mremap(other, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED,
					    WINDOW);
			else {
				int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
				at = shmat(id, WINDOW, SHM_REMAP);
				shmctl(id, IPC_RMID, NULL);
			}
			CHECK(at != MAP_FAILED);
			for (int i = 0; i < 20; i++)
				round_trip();
			_exit(0);
		}
		int status;
		CHECK(waitpid(child, &status, 0) == child);
		if (status)
			printf("way %d: status %x\n", way, status);
		CHECK(status == 0);
	}
}

/* A program that does not use the device, but makes calls of which the supervisor is told. */
static void unconcerned(void)
{
	struct stat status;
	for (int i = 0; i < 200; i++) {
		int fd = open("/dev/null", O_RDWR), file = open("/proc/self/exe", O_RDONLY);
		char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
		CHECK(fd >= 0 && fstat(fd, &status) == 0 && at != MAP_FAILED &&
		      munmap(at, 4096) == 0);
		CHECK(close(fd) == 0 && close(file) == 0);
	}
	CHECK(!is_inside());
}

/* A process that uses the device ends while the supervisor has long had nothing to do. */
static void outlived(void)
{
	int status;
	char line[32], end;
	pid_t child = fork();
	if (child == 0) {
		warm();
		sleep(3);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	/* Not by stdio, which begins with calls that the supervisor is told of. */
	int count = snprintf(line, sizeof(line), "%d %d\n", child, getppid());
	CHECK(write(1, line, count) == count && read(0, &end, 1) == 1);
}

/* A handler jumps out of calls: no descriptor is left of them. */
static sigjmp_buf out;

static void jump_out(int signal)
{
	(void)signal;
	siglongjmp(out, 1);
}

static int descriptors(void)
{
	int count = 0;
	DIR *all = opendir("/proc/self/fd");
	while (readdir(all))
		count++;
	closedir(all);
	return count;
}

static void jumps(void)
{
	warm();
	volatile int jumps = 0;
	int fd = region(4096), before = descriptors();
	struct itimerval soon = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
	signal(SIGALRM, jump_out);
	if (sigsetjmp(out, 1))
		jumps++;
	else
		setitimer(ITIMER_REAL, &soon, NULL);
	while (jumps < 500) {
		ioctl(fd, SET_NAME, "a name");
		ioctl(fd, SET_SIZE, (size_t)4096);
	}
	signal(SIGALRM, SIG_IGN);
	setitimer(ITIMER_REAL, &never, NULL);
	CHECK(descriptors() == before);
}

/* Text that is shared with others is not changed. */
static void shared_text(void)
{
#ifdef __aarch64__
	/* nop; mov x8, #29; svc #0; ret */
	static const unsigned code[] = {0xd503201f, 0xd28003a8, 0xd4000001, 0xd65f03c0};
#else
	static const unsigned char code[] = {
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, /* nop */
		0xb8, 16,   0,    0,    0,    0x0f, 0x05, 0xc3, /* mov eax, 16; syscall; ret */
	};
#endif
	int memory = syscall(SYS_memfd_create, "text", 0u);
	CHECK(memory >= 0 && ftruncate(memory, 4096) == 0 &&
	      write(memory, code, sizeof code) == sizeof code);
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, memory, 0);
	CHECK(at != MAP_FAILED);
	__builtin___clear_cache(at, at + sizeof code);
	warm();
	int fd = region(4096);
	for (int i = 0; i < 20; i++)
		CHECK(((int (*)(int, long, long))at)(fd, GET_SIZE, 0) == 4096);
	CHECK(memcmp(at, code, sizeof code) == 0);
}

/* Another process runs on the same memory. */
static char stack[65536] __attribute__((aligned(16)));

static int spin(void *unused)
{
	(void)unused;
	while (!stop)
		syscall(SYS_sched_yield);
	return 0;
}

static void sharing(void)
{
	int status;
	pid_t child = clone(spin, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
	CHECK(child > 0);
	for (int i = 0; i < 100; i++)
		round_trip();
	CHECK(!is_inside());
	stop = 1;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* Signals arrive while the code is put in, in one image after the other. */
static void count_one(int signal)
{
	(void)signal;
	phase++;
}

static void alarmed(char **words, int left)
{
	struct itimerval soon = {{0, 150}, {0, 150}}, never = {{0, 0}, {0, 0}};
	struct sigaction action = {.sa_handler = count_one, .sa_flags = SA_RESTART};
	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
	for (int i = 0; i < 8; i++)
		round_trip();
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	if (left > 0) {
		char text[16];
		sprintf(text, "%d", left - 1);
		execl("/proc/self/exe", words[0], "alarmed", text, NULL);
	}
}

/* Runs this program once with each of these verbs. */
static void each(char **verbs)
{
	for (; *verbs; verbs++) {
		int status;
		pid_t child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			execl("/proc/self/exe", "inside", *verbs, NULL);
			_exit(127);
		}
		CHECK(waitpid(child, &status, 0) == child);
		printf("%s: status %d\n", *verbs, status);
		fflush(stdout);
		CHECK(status == 0);
	}
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";
	if (!strcmp(verb, "nothing"))
		return 0;
	if (!strcmp(verb, "each"))
		each(words + 2);
	else if (!strcmp(verb, "warm"))
		warm();
	else if (!strcmp(verb, "sums"))
		sums(0);
	else if (!strcmp(verb, "static-sums"))
		sums(1);
	else if (!strcmp(verb, "fixed"))
		fixed();
	else if (!strcmp(verb, "broken"))
		broken();
	else if (!strcmp(verb, "confined"))
		confined(0);
	else if (!strcmp(verb, "confined-by-prctl"))
		confined(1);
	else if (!strcmp(verb, "forged"))
		forged();
	else if (!strcmp(verb, "racing"))
		racing();
	else if (!strcmp(verb, "spawns"))
		spawns();
	else if (!strcmp(verb, "limited"))
		limited();
	else if (!strcmp(verb, "cramped"))
		cramped();
	else if (!strcmp(verb, "sizes"))
		sizes();
	else if (!strcmp(verb, "copied"))
		copied();
	else if (!strcmp(verb, "executing"))
		executing();
#ifdef __x86_64__
	else if (!strcmp(verb, "lookalike"))
		lookalike();
#endif
	else if (!strcmp(verb, "numbers"))
		numbers();
	else if (!strcmp(verb, "cancelled"))
		cancelled();
	else if (!strcmp(verb, "filtered-thread"))
		filtered_thread();
	else if (!strcmp(verb, "undumpable"))
		undumpable();
	else if (!strcmp(verb, "dispatched"))
		dispatched();
	else if (!strcmp(verb, "covered"))
		covered();
	else if (!strcmp(verb, "unconcerned"))
		unconcerned();
	else if (!strcmp(verb, "outlived"))
		outlived();
	else if (!strcmp(verb, "jumps"))
		jumps();
	else if (!strcmp(verb, "shared-text"))
		shared_text();
	else if (!strcmp(verb, "sharing"))
		sharing();
	else if (!strcmp(verb, "alarmed"))
		alarmed(words, count > 2 ? atoi(words[2]) : 30);
	else if (!strcmp(verb, "again")) {
		warm();
		execl("/proc/self/exe", words[0], "warm", NULL);
	} else if (!strcmp(verb, "traced")) {
		is_traced = 1;
		for (int i = 0; i < 50; i++)
			round_trip();
		CHECK(!is_inside());
	} else if (!strcmp(verb, "waits")) {
		warm();
		puts("up");
		fflush(stdout);
		CHECK(getchar() == '\n');
		is_traced = 1;
		for (int i = 0; i < 50; i++)
			round_trip();
	} else
		CHECK(!"a verb that is known");
	puts("ok");
	return 0;
}
