/* read and write of faults, events and device regions; poll; memory files. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim.h"

static bool is_read_here(uint32_t kind)
{
	return kind != KIND_NONE && kind != KIND_MEMFD && kind != KIND_DMABUF;
}

static void moved(int op, int fd, uint32_t kind, const void *buffer, size_t bytes, off_t offset, uint64_t entered_ns,
	ssize_t ret, int error)
{
	struct call call = { op, fd, kind, { (uint64_t)(uintptr_t)buffer, bytes, (uint64_t)offset } };
	bool reads = op == OP_READ || op == OP_PREAD;

	note_data(recording_already(), &call, entered_ns, ret, error, reads ? (ret > 0 ? (size_t)ret : 0) : bytes);
}

/* Descriptors that are none of ours cost one look at a table. `note` tells of the transfer: `ret`, `failure`. */
#define DEFINE_TRANSFER(name, parameters, arguments, note)                 \
	EXPORT ssize_t name parameters                                     \
	{                                                                  \
		if (hint_of(fd) == KIND_NONE)                              \
			return NEXT(name)arguments;                        \
		int saved = errno;                                         \
		uint32_t kind = known_kind(fd);                            \
		uint64_t entered = now_ns();                               \
		errno = saved;                                             \
		ssize_t ret = NEXT(name)arguments;                         \
		int left = errno, failure = ret == -1 ? left : 0;          \
		if (is_read_here(kind))                                    \
			note;                                              \
		errno = left;                                              \
		return ret;                                                \
	}

#define DEFINE_IO(name, op, parameters, arguments, offset)                 \
	DEFINE_TRANSFER(name, parameters, arguments,                       \
		moved(op, fd, kind, buffer, bytes, offset, entered, ret, failure))
DEFINE_IO(read, OP_READ, (int fd, void *buffer, size_t bytes), (fd, buffer, bytes), 0)
DEFINE_IO(write, OP_WRITE, (int fd, const void *buffer, size_t bytes), (fd, buffer, bytes), 0)
DEFINE_IO(pread, OP_PREAD, (int fd, void *buffer, size_t bytes, off_t at), (fd, buffer, bytes, at), at)
DEFINE_IO(pread64, OP_PREAD, (int fd, void *buffer, size_t bytes, off64_t at), (fd, buffer, bytes, at), at)
DEFINE_IO(pwrite, OP_PWRITE, (int fd, const void *buffer, size_t bytes, off_t at), (fd, buffer, bytes, at), at)
DEFINE_IO(pwrite64, OP_PWRITE, (int fd, const void *buffer, size_t bytes, off64_t at), (fd, buffer, bytes, at), at)

/* What programs that are built with _FORTIFY_SOURCE call instead. */
EXPORT ssize_t __read_chk(int fd, void *buffer, size_t bytes, size_t room);
EXPORT ssize_t __pread_chk(int fd, void *buffer, size_t bytes, off_t at, size_t room);
EXPORT ssize_t __pread64_chk(int fd, void *buffer, size_t bytes, off64_t at, size_t room);
DEFINE_IO(__read_chk, OP_READ, (int fd, void *buffer, size_t bytes, size_t room), (fd, buffer, bytes, room), 0)
DEFINE_IO(__pread_chk, OP_PREAD, (int fd, void *buffer, size_t bytes, off_t at, size_t room),
	(fd, buffer, bytes, at, room), at)
DEFINE_IO(__pread64_chk, OP_PREAD, (int fd, void *buffer, size_t bytes, off64_t at, size_t room),
	(fd, buffer, bytes, at, room), at)

/* A call with a list of buffers is noted as one call for each buffer that it filled or took. */
static void moved_list(int op, int fd, uint32_t kind, const struct iovec *list, int count, off_t offset,
	uint64_t entered_ns, ssize_t ret, int error)
{
	struct iovec each;
	ssize_t left = ret;

	for (int at = 0; at < count && peek(&each, (uint64_t)(uintptr_t)&list[at], sizeof(each)) == sizeof(each); at++) {
		ssize_t part = ret < 0 ? ret : left < (ssize_t)each.iov_len ? left : (ssize_t)each.iov_len;
		moved(op, fd, kind, each.iov_base, each.iov_len, offset, entered_ns, part, error);
		if (ret < 0 || (left -= part) <= 0)
			break;
		offset += part;
	}
}

#define DEFINE_VECTOR(name, op, parameters, arguments, offset)             \
	DEFINE_TRANSFER(name, parameters, arguments,                       \
		moved_list(op, fd, kind, list, count, offset, entered, ret, failure))
DEFINE_VECTOR(readv, OP_READ, (int fd, const struct iovec *list, int count), (fd, list, count), 0)
DEFINE_VECTOR(writev, OP_WRITE, (int fd, const struct iovec *list, int count), (fd, list, count), 0)
DEFINE_VECTOR(preadv, OP_PREAD, (int fd, const struct iovec *list, int count, off_t at), (fd, list, count, at), at)
DEFINE_VECTOR(preadv64, OP_PREAD, (int fd, const struct iovec *list, int count, off64_t at), (fd, list, count, at), at)
DEFINE_VECTOR(pwritev, OP_PWRITE, (int fd, const struct iovec *list, int count, off_t at), (fd, list, count, at), at)
DEFINE_VECTOR(pwritev64, OP_PWRITE, (int fd, const struct iovec *list, int count, off64_t at), (fd, list, count, at), at)

/* Only for one descriptor, as a program that waits for faults polls. */
EXPORT int poll(struct pollfd *list, nfds_t count, int timeout)
{
	int ret, left;
	uint64_t entered = now_ns();

	ret = NEXT(poll)(list, count, timeout);
	left = errno;
	if (count == 1 && ret >= 0 && hint_of(list->fd) != KIND_NONE) {
		uint32_t kind = known_kind(list->fd);
		struct call call = { OP_POLL, list->fd, kind,
			{ (uint64_t)(unsigned short)list->events, (uint64_t)(int64_t)timeout, (uint64_t)(unsigned short)list->revents } };
		if (is_read_here(kind))
			note_whole(recording_already(), &call, entered, ret, 0, NULL);
	}
	errno = left;
	return ret;
}

/* Memory files can be mapped by IOMMU_IOAS_MAP_FILE; what was made before a channel is not needed. */
EXPORT int memfd_create(const char *name, unsigned flags)
{
	uint64_t entered = now_ns();
	int ret = NEXT(memfd_create)(name, flags);
	int left = errno;

	if (ret >= 0) {
		char text[PATH_ROOM];
		struct call call = { OP_MEMFD, ret, KIND_MEMFD, { flags } };
		set_hint(ret, KIND_MEMFD);
		peek_text(text, (uint64_t)(uintptr_t)name, sizeof(text));
		note_whole(recording_already(), &call, entered, ret, 0, text);
	}
	errno = left;
	return ret;
}

#define DEFINE_FTRUNCATE(name, type)                                       \
	EXPORT int name(int fd, type bytes)                                \
	{                                                                  \
		uint64_t entered = now_ns();                               \
		int ret = NEXT(name)(fd, bytes);                           \
		int left = errno;                                          \
		if (hint_of(fd) == KIND_MEMFD) {                           \
			struct call call = { OP_FTRUNCATE, fd, KIND_MEMFD, { (uint64_t)bytes } }; \
			note_whole(recording_already(), &call, entered, ret, ret == -1 ? left : 0, NULL); \
		}                                                          \
		errno = left;                                              \
		return ret;                                                \
	}
DEFINE_FTRUNCATE(ftruncate, off_t)
DEFINE_FTRUNCATE(ftruncate64, off64_t)
