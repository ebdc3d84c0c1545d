/* Descriptors: close, dup, and what arrives over a socket. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim.h"

/* ---- close: what is taken away is noted before it is, so that nobody else's number is taken for it ---- */

static uint64_t note_close(struct state **state, int fd, uint32_t kind)
{
	struct call call = { OP_CLOSE, fd, kind, { 0 } };

	*state = kind == KIND_NONE || kind == KIND_MEMFD ? NULL : recording_already();
	return note_enter(*state, &call);
}

static int close_by(int (*next)(int), int fd)
{
	int saved = errno;
	struct state *state;
	uint64_t noted = note_close(&state, fd, known_kind(fd));

	set_hint(fd, KIND_NONE);
	errno = saved;
	int ret = PASS_ON(SYS_close, fd, 0, next(fd));
	int left = errno;
	note_exit(state, OP_CLOSE, noted, ret, ret == -1 ? left : 0);
	errno = left;
	return ret;
}

EXPORT int close(int fd)
{
	return close_by(NEXT(close), fd);
}

static int close_uncancelled(int fd)
{
	return (int)NEXT(syscall)(SYS_close, fd);
}

/*
 * Programs that want no cancellation point (libuv does) or have no wrapper of libc call this. What they do
 * otherwise, with instructions of their own, is not seen.
 */
EXPORT long syscall(long number, ...)
{
	unsigned long a[6];
	va_list list;

	va_start(list, number);
	for (int at = 0; at < 6; at++)
		a[at] = va_arg(list, unsigned long);
	va_end(list);
	uint64_t first = number == SYS_openat ? a[1] : a[0];
	uint64_t second = number == SYS_ioctl ? a[2] : 0;
	if (passing.number == number && (number == SYS_openat ? passing.first == first : (int)passing.first == (int)first) &&
	    passing.second == second)
		return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	switch (number) {
	case SYS_close:
		return close_by(close_uncancelled, (int)a[0]);
	case SYS_ioctl:
		return ioctl((int)a[0], a[1], a[2]);
	case SYS_openat: {
		uint64_t entered = now_ns();
		int fd = (int)NEXT(syscall)(number, a[0], a[1], a[2], a[3]);
		return opened(fd, (const char *)a[1], (int)a[2], entered);
	}
	default:
		return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
}

EXPORT int fclose(FILE *file)
{
	int saved = errno;
	struct state *state;
	int fd = fileno(file);
	uint64_t noted = note_close(&state, fd, known_kind(fd));

	set_hint(fd, KIND_NONE);
	errno = saved;
	int ret = NEXT(fclose)(file);
	int left = errno;
	note_exit(state, OP_CLOSE, noted, ret, ret == -1 ? left : 0);
	errno = left;
	return ret;
}

/* Numbers of one call of close_range that are noted; more than these are open in no program that we know. */
#define CLOSED_COUNT 32
struct closing {
	struct state *state;
	uint64_t noted[CLOSED_COUNT];
	unsigned count;
};

static void note_range(struct closing *closing, unsigned first, unsigned last)
{
	closing->count = 0;
	closing->state = recording_already();
	for (unsigned fd = first; closing->state != NULL && fd <= last && fd < FD_COUNT; fd++) {
		uint32_t kind = known_kind((int)fd);

		if (hint_of((int)fd) == KIND_NONE)
			continue;
		set_hint((int)fd, KIND_NONE);
		if (kind != KIND_NONE && closing->count < CLOSED_COUNT)
			closing->noted[closing->count++] = note_close(&closing->state, (int)fd, kind);
	}
}

static void note_range_end(const struct closing *closing, int ret, int error)
{
	for (unsigned at = 0; at < closing->count; at++)
		note_exit(closing->state, OP_CLOSE, closing->noted[at], ret, error);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	int saved = errno;
	struct closing closing = { .count = 0 };

	/* With a flag it closes later, or in a table of descriptors that is not shared any more. */
	if (flags == 0 && first <= last)
		note_range(&closing, first, last);
	errno = saved;
	int ret = NEXT(close_range)(first, last, flags);
	int left = errno;
	note_range_end(&closing, ret, ret == -1 ? left : 0);
	errno = left;
	return ret;
}

EXPORT void closefrom(int first)
{
	int saved = errno;
	struct closing closing;

	note_range(&closing, first < 0 ? 0 : (unsigned)first, FD_COUNT - 1);
	errno = saved;
	NEXT(closefrom)(first);
	note_range_end(&closing, 0, 0);
}

/* ---- dup ---- */

static int duplicated(int old, int fd, uint64_t entered_ns)
{
	int left = errno;

	if (fd >= 0 && fd != old) {
		uint32_t kind = known_kind(old), before = hint_of(fd);

		set_hint(fd, kind);
		if ((kind != KIND_NONE && kind != KIND_MEMFD) || before != KIND_NONE) {
			struct call call = { OP_DUP, old, kind, { before } };
			note_whole(recording_already(), &call, entered_ns, fd, 0, NULL);
		}
	}
	errno = left;
	return fd;
}

EXPORT int dup(int old)
{
	uint64_t entered = now_ns();
	return duplicated(old, NEXT(dup)(old), entered);
}

EXPORT int dup2(int old, int fd)
{
	uint64_t entered = now_ns();
	return duplicated(old, NEXT(dup2)(old, fd), entered);
}

EXPORT int dup3(int old, int fd, int flags)
{
	uint64_t entered = now_ns();
	return duplicated(old, NEXT(dup3)(old, fd, flags), entered);
}

#define DEFINE_FCNTL(name)                                         \
	EXPORT int name(int fd, int command, ...)                  \
	{                                                          \
		va_list list;                                      \
		va_start(list, command);                           \
		unsigned long arg = va_arg(list, unsigned long);   \
		va_end(list);                                      \
		uint64_t entered = now_ns();                       \
		int ret = NEXT(name)(fd, command, arg);            \
		return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, ret, entered) : ret; \
	}
DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)

/* ---- sockets ---- */

static void keep_received(int fd)
{
	char path[PATH_ROOM];
	uint32_t kind = kind_of(fd, path);

	if (kind == KIND_NONE && hint_of(fd) == KIND_NONE)
		return;
	set_hint(fd, kind);
	if (kind != KIND_NONE && kind != KIND_MEMFD)
		note_received(fd, kind, path);
}

EXPORT ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	ssize_t ret = NEXT(recvmsg)(socket, message, flags);
	int left = errno;

	if (ret >= 0 && message->msg_controllen > 0) {
		for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
			if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
				continue;
			size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			for (size_t at = 0; at < count; at++) {
				int fd;
				memcpy(&fd, CMSG_DATA(each) + at * sizeof(int), sizeof(fd));
				keep_received(fd);
			}
		}
	}
	errno = left;
	return ret;
}
