/*
 * descriptors PATH: what happens to numbers. Opens PATH, copies it, hands it to a child over a socket, runs
 * itself again with one number that stays open and one that closes, and makes one call on each step; `flags`
 * of IOAS_ALLOC is the number of the step.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void step(int fd, uint32_t number)
{
	uint32_t alloc[3] = { sizeof(alloc), number, 0 };

	if (ioctl(fd, 0x3b81, alloc) != 0 || alloc[2] != number + 1)
		exit(10 + (int)number);
}

static void send_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	sendmsg(socket, &message, 0);
}

static int receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(socket, &message, 0) == 1)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

int main(int argc, char **argv)
{
	if (argc == 3) { /* after exec: 20 was inherited, 21 closed */
		step(20, 7);
		return fcntl(21, F_GETFD) == -1 && errno == EBADF ? 0 : 9;
	}
	int sockets[2];
	char terminal[256];
	/* The stand-in passes it on to syscall(), which is the recorder's: it must not come back. */
	ioctl(1, 0x5401, terminal);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
	pid_t child = fork();
	if (child == 0) {
		close(sockets[0]);
		step(receive_fd(sockets[1]), 3);
		_exit(0);
	}
	int fd = open(argv[1], O_RDWR);
	step(fd, 1);
	int copy = dup(fd);
	close(fd);
	step(copy, 2);
	send_fd(sockets[0], copy);
	waitpid(child, NULL, 0);
	/* As a library opens it that does not use the function. */
	int raw = (int)syscall(SYS_openat, AT_FDCWD, argv[1], O_RDWR);
	step(raw, 4);
	dup2(copy, 20);
	dup3(raw, 21, O_CLOEXEC);
	step(21, 5);
	close_range(3, 19, 0);
	step(20, 6);
	child = vfork();
	if (child == 0) { /* its close is not its parent's */
		close(20);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	/* An environment without the recorder. */
	char *again[] = { argv[0], argv[1], "again", NULL }, *environment[] = { "A=B", NULL, NULL };
	char standin[512];
	snprintf(standin, sizeof(standin), "IOASIS_STANDIN=%s", getenv("IOASIS_STANDIN"));
	environment[1] = standin;
	execve(argv[0], again, environment);
	return 8;
}
