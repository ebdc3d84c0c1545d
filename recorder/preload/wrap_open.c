/* Descriptors that are opened. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "shim.h"

/* Asked only for what can be one of ours: the readlink of kind_of is dear. */
static uint32_t kind_of_opened(int fd, char *path)
{
	struct stat about;

	if (config.standin_count == 0 && (sys(SYS_fstat, (long)fd, &about) != 0 || !S_ISCHR(about.st_mode)))
		return KIND_NONE;
	return kind_of(fd, path);
}

int opened(int fd, const char *path, int flags, uint64_t entered_ns)
{
	int left = errno;
	char asked[PATH_ROOM], device[PATH_ROOM] = "";
	uint32_t kind;

	if (fd >= 0) {
		kind = kind_of_opened(fd, device);
		if (kind != KIND_NONE || hint_of(fd) != KIND_NONE)
			set_hint(fd, kind);
	} else {
		peek_text(asked, (uint64_t)(uintptr_t)path, sizeof(asked));
		kind = kind_of_path(asked, device);
	}
	if (kind != KIND_NONE && kind != KIND_MEMFD) {
		struct state *state = recording_for(fd);
		struct call call = { OP_OPEN, fd, kind, { (uint64_t)(unsigned)flags, OPENED } };
		note_whole(state, &call, entered_ns, fd, fd < 0 ? left : 0, device);
	}
	errno = left;
	return fd;
}

#define NEEDS_MODE(flags) (((flags) & O_CREAT) != 0 || ((flags) & __O_TMPFILE) == __O_TMPFILE)
#define READ_MODE(flags, last)                                     \
	mode_t mode = 0;                                           \
	if (NEEDS_MODE(flags)) {                                   \
		va_list list;                                      \
		va_start(list, last);                              \
		mode = va_arg(list, mode_t);                       \
		va_end(list);                                      \
	}
#define DEFINE_OPEN(name)                                          \
	EXPORT int name(const char *path, int flags, ...)          \
	{                                                          \
		READ_MODE(flags, flags)                            \
		uint64_t entered = now_ns();                       \
		return opened(PASS_ON(SYS_openat, (uintptr_t)path, 0, NEXT(name)(path, flags, mode)), path, flags, entered); \
	}
#define DEFINE_OPENAT(name)                                        \
	EXPORT int name(int folder, const char *path, int flags, ...) \
	{                                                          \
		READ_MODE(flags, flags)                            \
		uint64_t entered = now_ns();                       \
		return opened(PASS_ON(SYS_openat, (uintptr_t)path, 0, NEXT(name)(folder, path, flags, mode)), path, flags, \
			entered);                                  \
	}
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/* What programs that are built with _FORTIFY_SOURCE call instead. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __openat_2(int folder, const char *path, int flags);
EXPORT int __openat64_2(int folder, const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
	uint64_t entered = now_ns();
	return opened(NEXT(__open_2)(path, flags), path, flags, entered);
}
EXPORT int __open64_2(const char *path, int flags)
{
	uint64_t entered = now_ns();
	return opened(NEXT(__open64_2)(path, flags), path, flags, entered);
}
EXPORT int __openat_2(int folder, const char *path, int flags)
{
	uint64_t entered = now_ns();
	return opened(NEXT(__openat_2)(folder, path, flags), path, flags, entered);
}
EXPORT int __openat64_2(int folder, const char *path, int flags)
{
	uint64_t entered = now_ns();
	return opened(NEXT(__openat64_2)(folder, path, flags), path, flags, entered);
}
