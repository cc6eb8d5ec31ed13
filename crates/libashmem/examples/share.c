/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Hands a region to another process, which may read it and no more.
 *
 *     cc share.c $(pkg-config --cflags --libs libashmem) -o share && ./share
 */
#include <android/sharedmem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE 65536

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

/* A message of one byte that carries a descriptor, or has room for one. */
union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int socket, int fd)
{
	union control control;
	char byte = 0;
	struct iovec data = { &byte, 1 };
	struct msghdr message;
	struct cmsghdr *header;

	memset(&control, 0, sizeof(control));
	memset(&message, 0, sizeof(message));
	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control.space;
	message.msg_controllen = sizeof(control.space);
	header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
		die("sendmsg");
}

static int receive_descriptor(int socket)
{
	union control control;
	char byte;
	struct iovec data = { &byte, 1 };
	struct msghdr message;
	struct cmsghdr *header;
	ssize_t got;
	int fd;

	memset(&message, 0, sizeof(message));
	message.msg_iov = &data;
	message.msg_iovlen = 1;
	message.msg_control = control.space;
	message.msg_controllen = sizeof(control.space);
	got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	if (got < 0)
		die("recvmsg");
	header = CMSG_FIRSTHDR(&message);
	if (got == 0 || header == NULL || header->cmsg_type != SCM_RIGHTS) {
		fprintf(stderr, "the message brought no descriptor\n");
		exit(EXIT_FAILURE);
	}
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static int reader(int socket)
{
	int fd = receive_descriptor(socket);
	size_t size = ASharedMemory_getSize(fd);
	void *memory;

	if (size == 0)
		die("ASharedMemory_getSize");
	if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED) {
		fprintf(stderr, "the reader could map the region to write\n");
		return EXIT_FAILURE;
	}
	memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	printf("the reader got %zu bytes: %s\n", size, (const char *)memory);
	munmap(memory, size);
	close(fd);
	return EXIT_SUCCESS;
}

int main(void)
{
	int sockets[2], fd, status;
	void *memory;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
		die("socketpair");
	child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		close(sockets[0]);
		status = reader(sockets[1]);
		fflush(stdout);
		_exit(status);
	}
	close(sockets[1]);

	fd = ASharedMemory_create("share", SIZE);
	if (fd < 0)
		die("ASharedMemory_create");
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	strcpy((char *)memory, "hello");
	if (ASharedMemory_setProt(fd, PROT_READ) != 0)
		die("ASharedMemory_setProt");
	send_descriptor(sockets[0], fd);

	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	munmap(memory, SIZE);
	close(fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
