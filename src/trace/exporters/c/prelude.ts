/**
 * The C that every exported program begins with. It needs a C compiler and the headers of libc and Linux
 * that any libc has; the numbers of iommufd and VFIO stand in the calls themselves, so that neither old
 * headers nor a new kernel are in the way.
 */
export const PRELUDE = `\
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))

/* A directory in which /dev/iommu and /dev/vfio stand in for the real ones, for tests without them. */
#ifndef DEV_ROOT
#define DEV_ROOT ""
#endif

/* Structs are handed to the kernel from here: what follows them is zero, then nothing is mapped. */
#define ARENA_BYTES (1 << 20)
static MAYBE_UNUSED uint8_t *arena;

/* Counted by all processes together, and the call whose turn it is. */
static struct shared { long calls, same, structs, same_structs, turn; } *shared;
static MAYBE_UNUSED int me; /* which of the recorded processes this one is */

static MAYBE_UNUSED void fail(const char *what)
{
	fprintf(stderr, "cannot go on: %s: %s\\n", what, strerror(errno));
	exit(70);
}

/* The struct of a call, where the kernel reads and writes it. */
static MAYBE_UNUSED uint8_t *given(const void *bytes, size_t n)
{
	memset(arena, 0, n + 4096 < ARENA_BYTES ? n + 4096 : ARENA_BYTES);
	return memcpy(arena, bytes, n);
}

/* A struct that says that it is longer than what was recorded: what follows is taken not to be zero. */
static MAYBE_UNUSED uint8_t *given_more(const void *bytes, size_t n)
{
	memset(arena, 0xff, ARENA_BYTES);
	return memcpy(arena, bytes, n);
}

static MAYBE_UNUSED void put32(void *at, size_t offset, uint32_t value)
{
	memcpy((uint8_t *)at + offset, &value, 4);
}

static MAYBE_UNUSED void put64(void *at, size_t offset, uint64_t value)
{
	memcpy((uint8_t *)at + offset, &value, 8);
}

static MAYBE_UNUSED uint32_t get32(const void *at, size_t offset)
{
	uint32_t value;

	memcpy(&value, (const uint8_t *)at + offset, 4);
	return value;
}

static MAYBE_UNUSED uint64_t get64(const void *at, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const uint8_t *)at + offset, 8);
	return value;
}

static MAYBE_UNUSED uint64_t try_memory_at(uint64_t wanted, uint64_t bytes, int prot, int flags, int fd,
		off_t off)
{
	const uint64_t align = bytes >= (1ull << 30) ? 1ull << 30 : 1ull << 21;
	uint8_t *at, *free_at;

	flags &= ~(MAP_FIXED | MAP_FIXED_NOREPLACE);
	at = mmap((void *)wanted, bytes, prot, flags | MAP_FIXED_NOREPLACE, fd, off);
	if (at == (void *)wanted)
		return wanted;
	if (at != MAP_FAILED) {
		munmap(at, bytes);
	} else if (errno != EEXIST && errno != EINVAL && errno != EPERM) {
		return (uint64_t)MAP_FAILED;
	}
	free_at = mmap(NULL, bytes + 2 * align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (free_at == MAP_FAILED)
		return (uint64_t)MAP_FAILED;
	at = (uint8_t *)(((uint64_t)free_at + align - 1) / align * align + wanted % align);
	at = mmap(at, bytes, prot, flags | MAP_FIXED, fd, off);
	return (uint64_t)at;
}

/* Memory at the recorded address, or at another one that is as well aligned: the kernel looks at that. */
static MAYBE_UNUSED uint64_t memory_at(uint64_t wanted, uint64_t bytes, int prot, int flags, int fd,
		off_t off)
{
	uint64_t at = try_memory_at(wanted, bytes, prot, flags, fd, off);

	if (at == (uint64_t)MAP_FAILED && (flags & MAP_HUGETLB) != 0) {
		printf("no huge pages: %llx gets small ones\\n", (unsigned long long)wanted);
		at = try_memory_at(wanted, bytes, prot, flags & ~(MAP_HUGETLB | (0x3f << 26)), fd, off);
	}
	return at;
}

/* Memory that the recorded program had and no recorded call made. */
static MAYBE_UNUSED uint64_t memory_before(uint64_t wanted, uint64_t bytes)
{
	uint64_t at = memory_at(wanted, bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == (uint64_t)MAP_FAILED) {
		printf("no memory at %llx: %s\\n", (unsigned long long)wanted, strerror(errno));
		return wanted;
	}
	return at;
}

/* Reads or writes user memory as a debugger does: pages may be read-only, or not there. */
static MAYBE_UNUSED ssize_t memory_io(uint64_t at, void *bytes, size_t n, int is_write)
{
	static int fd = -1, owner = -1;

	if (owner != getpid()) {
		int low = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

		/* Out of the way of the numbers that the recorded program had. */
		if (fd >= 0)
			close(fd);
		fd = fcntl(low, F_DUPFD_CLOEXEC, 900);
		if (fd >= 0)
			close(low);
		else
			fd = low;
		owner = getpid();
	}
	return is_write ? pwrite(fd, bytes, n, (off_t)at) : pread(fd, bytes, n, (off_t)at);
}

/* Puts bytes into user memory, where it does not hold them already. */
static MAYBE_UNUSED void fill(uint64_t at, const void *bytes, size_t n)
{
	uint8_t *now = malloc(n + 1);

	if (now == NULL)
		fail("malloc");
	if (memory_io(at, now, n, 0) != (ssize_t)n || memcmp(now, bytes, n) != 0) {
		memcpy(now, bytes, n);
		memory_io(at, now, n, 1);
	}
	free(now);
}

static MAYBE_UNUSED void fill_zero(uint64_t at, size_t n)
{
	void *zeros = calloc(n + 1, 1);

	if (zeros == NULL)
		fail("calloc");
	fill(at, zeros, n);
	free(zeros);
}

static MAYBE_UNUSED void result(long seq, const char *name, long ret, int error, long want, int want_error)
{
	const int same = ret == want && error == want_error;

	shared->calls += 1;
	shared->same += same;
	printf("%ld %s: recorded %ld errno %d, here %ld errno %d%s%s: %s\\n", seq, name, want, want_error, ret,
	       error, error ? " " : "", error ? strerror(error) : "", same ? "same" : "DIFFERS");
}

/* Of a call that returns a descriptor or an address, only whether it did. */
static MAYBE_UNUSED void made(long seq, const char *name, long ret, int error, int want_error)
{
	result(seq, name, ret == -1 ? -1 : 0, error, want_error ? -1 : 0, want_error);
}

static MAYBE_UNUSED void print_hex(const char *label, const uint8_t *bytes, size_t n)
{
	printf("\\t%s ", label);
	for (size_t i = 0; i < n && i < 256; i++)
		printf("%02x", bytes[i]);
	printf("%s\\n", n > 256 ? "..." : "");
}

/* Compares bytes that the kernel wrote, or left, with what was recorded. */
static MAYBE_UNUSED void bytes_of(long seq, const char *what, const void *here, const void *want, size_t n)
{
	const int same = memcmp(here, want, n) == 0;

	shared->structs += 1;
	shared->same_structs += same;
	if (same)
		return;
	printf("%ld %s: DIFFERS\\n", seq, what);
	print_hex("recorded", want, n);
	print_hex("here    ", here, n);
}

static MAYBE_UNUSED void memory_of(long seq, const char *what, uint64_t at, const void *want, size_t n)
{
	uint8_t *now = malloc(n + 1);

	if (now == NULL)
		fail("malloc");
	if (memory_io(at, now, n, 0) == (ssize_t)n)
		bytes_of(seq, what, now, want, n);
	else
		printf("%ld %s: cannot be read\\n", seq, what);
	free(now);
}
`;
