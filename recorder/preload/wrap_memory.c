/* The address space, from the first channel on: what was mapped before, the channel's own list tells. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "shim.h"

static void mapped(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset, uint64_t entered_ns, void *ret)
{
	int left = errno;
	struct state *state = recording_already();
	struct call call = { OP_MMAP, (flags & MAP_ANONYMOUS) ? -1 : fd, KIND_NONE,
		{ (uint64_t)(uintptr_t)addr, bytes, (uint64_t)(unsigned)prot << 32 | (unsigned)flags, (uint64_t)offset } };

	if (state != NULL) {
		call.kind = call.fd < 0 ? (uint32_t)KIND_NONE : known_kind(fd);
		note_whole(state, &call, entered_ns, (int64_t)(intptr_t)ret, ret == MAP_FAILED ? left : 0, NULL);
	}
	errno = left;
}

EXPORT void *mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	uint64_t entered = now_ns();
	void *ret = NEXT(mmap)(addr, bytes, prot, flags, fd, offset);
	mapped(addr, bytes, prot, flags, fd, offset, entered, ret);
	return ret;
}

EXPORT void *mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
	uint64_t entered = now_ns();
	void *ret = NEXT(mmap64)(addr, bytes, prot, flags, fd, offset);
	mapped(addr, bytes, prot, flags, fd, offset, entered, ret);
	return ret;
}

EXPORT int munmap(void *addr, size_t bytes)
{
	int saved = errno;
	struct state *state = recording_already();
	struct call call = { OP_MUNMAP, -1, KIND_NONE, { (uint64_t)(uintptr_t)addr, bytes } };
	uint64_t noted = note_enter(state, &call);

	errno = saved;
	int ret = NEXT(munmap)(addr, bytes);
	int left = errno;
	note_exit(state, OP_MUNMAP, noted, ret, ret == -1 ? left : 0);
	errno = left;
	return ret;
}

EXPORT void *mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...)
{
	va_list list;

	va_start(list, flags);
	void *wanted = (flags & MREMAP_FIXED) ? va_arg(list, void *) : NULL;
	va_end(list);
	uint64_t entered = now_ns();
	void *ret = NEXT(mremap)(old, old_bytes, bytes, flags, wanted);
	int left = errno;
	struct call call = { OP_MREMAP, -1, KIND_NONE, { (uint64_t)(uintptr_t)old, old_bytes, bytes, (unsigned)flags } };
	note_whole(recording_already(), &call, entered, (int64_t)(intptr_t)ret, ret == MAP_FAILED ? left : 0, NULL);
	errno = left;
	return ret;
}

EXPORT int mprotect(void *addr, size_t bytes, int prot)
{
	uint64_t entered = now_ns();
	int ret = NEXT(mprotect)(addr, bytes, prot);
	int left = errno;
	struct call call = { OP_MPROTECT, -1, KIND_NONE, { (uint64_t)(uintptr_t)addr, bytes, (unsigned)prot } };

	note_whole(recording_already(), &call, entered, ret, ret == -1 ? left : 0, NULL);
	errno = left;
	return ret;
}
