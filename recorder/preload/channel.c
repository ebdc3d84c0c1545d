/* The channel of a process: made, mapped, left. What is put into it: record.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "shim.h"

static char *put(char *to, const char *text)
{
	while (*text != 0)
		*to++ = *text++;
	return to;
}

static char *put_decimal(char *to, uint64_t number)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0)
		*to++ = digits[--count];
	return to;
}

static bool failed(long ret)
{
	return ret < 0 && ret > -4096;
}

/* A file that could not grow to its size would end the program with a signal, so the limit is asked first. */
static int allocate(int fd, uint64_t bytes)
{
	struct rlimit limit;

	if (sys(SYS_prlimit64, 0l, (long)RLIMIT_FSIZE, 0l, &limit) == 0 && limit.rlim_cur < bytes)
		return -EFBIG;
	return (int)sys(SYS_fallocate, (long)fd, 0l, 0l, (long)bytes);
}

/* Maps the header, and behind it the data twice: a record never has to be split. */
static int map_channel(struct state *state, int fd, uint64_t bytes)
{
	uint64_t total = CHANNEL_HEADER_BYTES + 2 * bytes;
	long base = sys(SYS_mmap, 0ul, total, (long)PROT_NONE, (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), -1l, 0l);
	if (failed(base))
		return (int)base;
	const uint64_t at[3] = { 0, CHANNEL_HEADER_BYTES, CHANNEL_HEADER_BYTES + bytes };
	for (int part = 0; part < 3; part++) {
		long ret = sys(SYS_mmap, (uint64_t)base + at[part], part == 0 ? (uint64_t)CHANNEL_HEADER_BYTES : bytes,
			(long)(PROT_READ | PROT_WRITE), (long)(MAP_SHARED | MAP_FIXED), (long)fd,
			part == 0 ? 0l : (long)CHANNEL_HEADER_BYTES);
		if (failed(ret)) {
			sys(SYS_munmap, base, total);
			return (int)ret;
		}
	}
	state->header = (struct channel_header *)base;
	state->data = (unsigned char *)base + CHANNEL_HEADER_BYTES;
	state->bytes = bytes;
	atomic_store(&state->tail_seen, 0);
	return 0;
}

struct listing {
	struct writer writer;
	int new_fd;
};

static void visit_descriptor(int fd, uint32_t kind, void *context)
{
	struct listing *listing = context;
	struct writer *writer = &listing->writer;

	if (fd == listing->new_fd)
		return;
	if (writer->at + SECTION_BYTES(PATH_ROOM) <= (unsigned char *)writer->record + writer->record->bytes)
		add_descriptor(writer, fd, kind, PATH_ROOM);
}

/* What the process has mapped by now, as the kernel lists it. */
static void note_maps(struct state *state)
{
	long fd = sys(SYS_openat, (long)AT_FDCWD, "/proc/self/maps", (long)(O_RDONLY | O_CLOEXEC));
	long got = 1;

	while (fd >= 0 && got > 0) {
		struct section *section;
		struct writer writer = begin_record(state, RECORD_WHOLE, OP_MAPS, SECTION_BYTES(4096));
		if (writer.record == NULL)
			break;
		unsigned char *to = add_section(&writer, SECTION_MAPS, 4096, &section);
		got = sys(SYS_read, fd, to, 4096ul);
		section->got = got > 0 ? (uint32_t)got : 0;
		commit_record(&writer);
	}
	if (fd >= 0)
		sys(SYS_close, fd);
}

int make_channel(struct state *state, int new_fd)
{
	char draft[PATH_ROOM + 64], name[PATH_ROOM + 64];
	uint64_t start = now_ns();
	char *at = put(draft, config.folder);

	at = put(at, "/");
	at = put_decimal(at, state->pid);
	at = put(at, "-");
	at = put_decimal(at, start);
	memcpy(name, draft, (size_t)(at - draft));
	memcpy(name + (at - draft), ".ring", 6);
	memcpy(at, ".new", 5);

	long fd = sys(SYS_openat, (long)AT_FDCWD, draft, (long)(O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC), 0600l);
	if (fd < 0)
		return (int)fd;
	int error = allocate((int)fd, CHANNEL_HEADER_BYTES + config.ring_bytes);
	if (error == 0)
		error = map_channel(state, (int)fd, config.ring_bytes);
	sys(SYS_close, fd);
	if (error == 0) {
		state->header->version = FORMAT_VERSION;
		state->header->pid = state->pid;
		state->header->parent_pid = (uint32_t)sys(SYS_getppid);
		state->header->data_bytes = state->bytes;
		state->header->start_ns = start;
		state->header->magic = CHANNEL_MAGIC;
		error = (int)sys(SYS_renameat, (long)AT_FDCWD, draft, (long)AT_FDCWD, name);
		if (error != 0)
			leave_channel(state);
	}
	if (error != 0) {
		sys(SYS_unlinkat, (long)AT_FDCWD, draft, 0l);
		return error;
	}
	size_t count = scan_descriptors(NULL, NULL);
	struct listing listing = {
		begin_record(state, RECORD_WHOLE, OP_ATTACH, count * SECTION_BYTES(PATH_ROOM)), new_fd
	};
	if (listing.writer.record != NULL) {
		listing.writer.record->a[0] = state->pid == config.image_pid ? START_PROGRAM : START_FORK;
		listing.writer.record->a[1] = state->header->parent_pid;
		scan_descriptors(visit_descriptor, &listing);
		commit_record(&listing.writer);
	}
	note_limits(state);
	note_maps(state);
	return 0;
}

void leave_channel(struct state *state)
{
	if (state->header != NULL)
		sys(SYS_munmap, state->header, CHANNEL_HEADER_BYTES + 2 * state->bytes);
	state->header = NULL;
}
