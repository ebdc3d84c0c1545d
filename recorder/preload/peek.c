/*
 * Reads memory of the program that may not be there. The kernel copies it, so that a bad pointer is an answer
 * and no fault. Where a sandbox forbids that call, each page is tried with a system call that does nothing but
 * read eight bytes of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "shim.h"

#define PAGE 4096u

static _Atomic bool must_probe;

static long copy(void *to, uint64_t from, size_t bytes)
{
	struct iovec local = { to, bytes };
	struct iovec remote = { (void *)(uintptr_t)from, bytes };

	return sys(SYS_process_vm_readv, sys(SYS_getpid), &local, 1ul, &remote, 1ul, 0ul);
}

/* `how` is none that exists: the kernel reads the set, then refuses. EFAULT says that it could not read. */
static bool is_readable(uint64_t at)
{
	return sys(SYS_rt_sigprocmask, ~0ul, at & ~7ull, 0ul, 8ul) != -EFAULT;
}

static size_t probe_and_copy(unsigned char *to, uint64_t from, size_t bytes)
{
	size_t done = 0;

	while (done < bytes && is_readable(from + done)) {
		size_t step = PAGE - (size_t)((from + done) % PAGE);
		if (step > bytes - done)
			step = bytes - done;
		memcpy(to + done, (const void *)(uintptr_t)(from + done), step);
		done += step;
	}
	return done;
}

size_t peek(void *to, uint64_t from, size_t bytes)
{
	unsigned char *at = to;
	size_t done = 0;

	if (bytes == 0 || from + bytes < from)
		return 0;
	if (must_probe)
		return probe_and_copy(at, from, bytes);
	long got = copy(at, from, bytes);
	if (got == (long)bytes)
		return bytes;
	if (got == -EPERM || got == -ENOSYS || got == -EACCES) {
		must_probe = true;
		return probe_and_copy(at, from, bytes);
	}
	/* What can be read of it, page by page. */
	while (done < bytes) {
		size_t step = PAGE - (size_t)((from + done) % PAGE);
		if (step > bytes - done)
			step = bytes - done;
		got = copy(at + done, from + done, step);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

size_t peek_text(char *to, uint64_t from, size_t room)
{
	size_t done = 0;

	while (done < room - 1) {
		size_t step = PAGE - (size_t)((from + done) % PAGE);
		if (step > room - 1 - done)
			step = room - 1 - done;
		size_t got = peek(to + done, from + done, step);
		const char *end = memchr(to + done, 0, got);
		if (end != NULL)
			return (size_t)(end - to);
		done += got;
		if (got < step)
			break;
	}
	to[done] = 0;
	return done;
}
