/*
 * Reads memory of the program that may not be there: a bad pointer is an answer, never a fault.
 *
 * A struct lies on one page or two. Each is tried with a system call that does nothing but read eight bytes of
 * it (the cheapest way to ask the kernel), then copied. Only a program that unmaps its argument in one thread
 * while it passes it to the kernel in another could take the page away in between, and to such a program the
 * kernel's own answer is a matter of luck. Large buffers are copied by the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "shim.h"

#define PAGE 4096u

/* From this many bytes on one copy by the kernel is cheaper than trying each page. */
#define PROBED_BYTES (8 * PAGE)

/*
 * `how` is none that exists: the kernel reads the set, then refuses. EFAULT says that it could not read. A null
 * pointer would mean that there is no set, so the first page is tried a word further.
 */
static bool is_readable(uint64_t at)
{
	return sys(SYS_rt_sigprocmask, ~0ul, at < 8 ? 8ul : at & ~7ull, 0ul, 8ul) != -EFAULT;
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
	if (bytes == 0 || from + bytes < from)
		return 0;
	if (bytes >= PROBED_BYTES) {
		struct iovec local = { to, bytes };
		struct iovec remote = { (void *)(uintptr_t)from, bytes };
		/* What it could not read, or a sandbox does not let it, is tried page by page. */
		if (sys(SYS_process_vm_readv, sys(SYS_getpid), &local, 1ul, &remote, 1ul, 0ul) == (long)bytes)
			return bytes;
	}
	return probe_and_copy(to, from, bytes);
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
