/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Threads, and processes that share what they hold. */
#include "client.h"

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

void threads(void)
{
	pthread_t all[8];
	for (int i = 0; i < 8; i++)
		CHECK(pthread_create(&all[i], NULL, one_thread, NULL) == 0);
	for (int i = 0; i < 8; i++)
		CHECK(pthread_join(all[i], NULL) == 0);
}

void crowd(int processes)
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

void interrupted(void)
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
void together(void)
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
void purges(void)
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

/*
 * Says who supervises, then makes and drops regions in four processes with each line it is given.
 */
void churn(void)
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

void give(void)
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
void take(int is_want)
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
