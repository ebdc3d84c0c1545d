/* Channels, and the records in them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "shim.h"

/* How long a full ring is waited for while the recorder shows no sign of life. */
#define PATIENCE_NS 30000000000ull
/* Between two looks at it. */
#define PAUSE_MIN_NS 100000
#define PAUSE_MAX_NS 800000

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

/* The recorder writes the two words at once, but a copy is not atomic: they count when they agree. */
static uint64_t read_tail(struct state *state)
{
	uint64_t tail = state->header->tail;

	atomic_thread_fence(memory_order_acquire);
	if (state->header->tail_inverted == ~tail)
		atomic_store_explicit(&state->tail_seen, tail, memory_order_release);
	return atomic_load_explicit(&state->tail_seen, memory_order_acquire);
}

/* `head` may be old by now, and the tail beyond it: then there is room, and the swap that follows fails. */
static bool is_full(const struct state *state, uint64_t head, uint64_t total, uint64_t tail)
{
	return (int64_t)(head + total - tail) > (int64_t)state->bytes;
}

/* False when the recording has ended. */
static bool wait_for_room(struct state *state, uint64_t head, uint64_t total)
{
	uint64_t seen = state->header->heartbeat, since = now_ns();
	struct timespec pause = { 0, PAUSE_MIN_NS };

	while (is_full(state, head, total, read_tail(state))) {
		if (state->header->stop != 0)
			return false;
		sys(SYS_nanosleep, &pause, 0ul);
		/* Many threads that look too often would take the processor from the recorder. */
		if (pause.tv_nsec < PAUSE_MAX_NS)
			pause.tv_nsec *= 2;
		if (state->header->heartbeat != seen) {
			seen = state->header->heartbeat;
			since = now_ns();
		} else if (now_ns() - since > PATIENCE_NS) {
			say("the recorder has not taken a record for 30 seconds: the recording of this process ends here", 0);
			stop_recording(state);
			return false;
		}
	}
	return true;
}

static void unblock(const struct writer *writer)
{
	sys(SYS_rt_sigprocmask, 2ul /* SIG_SETMASK */, &writer->signals, 0ul, 8ul);
}

/* Asked once by each thread of a process. */
static uint32_t thread_of(const struct state *state)
{
	static __thread struct { uint32_t pid, tid; } me __attribute__((tls_model("initial-exec")));

	if (me.pid != state->pid) {
		me.tid = (uint32_t)sys(SYS_gettid);
		me.pid = state->pid;
	}
	return me.tid;
}

struct writer begin_record(struct state *state, int type, int op, size_t section_bytes)
{
	uint64_t total = (sizeof(struct record) + section_bytes + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
	struct writer writer = { state, NULL, NULL, 0, 0 };
	uint64_t head, all = ~0ull;

	/*
	 * From the reservation to the end of the record no signal comes through: a handler that records would
	 * wait in a full ring for the record that it interrupts, and one that jumps away would leave a hole.
	 */
	sys(SYS_rt_sigprocmask, 0ul /* SIG_BLOCK */, &all, &writer.signals, 8ul);
	head = atomic_load_explicit(&state->header->head, memory_order_relaxed);
	do {
		while (is_full(state, head, total, atomic_load_explicit(&state->tail_seen, memory_order_acquire))) {
			unblock(&writer);
			if (!wait_for_room(state, head, total))
				return writer;
			sys(SYS_rt_sigprocmask, 0ul, &all, &writer.signals, 8ul);
			head = atomic_load_explicit(&state->header->head, memory_order_relaxed);
		}
	} while (!atomic_compare_exchange_weak(&state->header->head, &head, head + total));

	struct record *record = (struct record *)(state->data + head % state->bytes);
	record->bytes = (uint32_t)total;
	record->type = (uint16_t)type;
	record->op = (uint16_t)op;
	record->pid = state->pid;
	record->tid = thread_of(state);
	record->error = 0;
	record->time_ns = now_ns();
	record->call = head;
	record->ret = 0;
	record->fd = -1;
	record->kind = KIND_NONE;
	memset(record->a, 0, sizeof(record->a));
	record->entered_ns = record->time_ns;
	/* Ends the list of sections, also where fewer are added than there was room for. */
	if (total > sizeof(*record))
		memset(record + 1, 0, sizeof(uint32_t));
	writer.record = record;
	writer.position = head;
	writer.at = (unsigned char *)(record + 1);
	return writer;
}

unsigned char *add_section(struct writer *writer, int what, size_t bytes, struct section **added)
{
	struct section *section = (struct section *)writer->at;
	unsigned char *content = (unsigned char *)(section + 1);
	unsigned char *end = (unsigned char *)writer->record + writer->record->bytes;

	section->what = (uint32_t)what;
	section->room = (uint32_t)((bytes + 7) & ~(size_t)7);
	section->got = 0;
	section->flags = 0;
	section->addr = 0;
	section->len = bytes;
	writer->at = content + section->room;
	if (writer->at + sizeof(uint32_t) <= end)
		memset(writer->at, 0, sizeof(uint32_t));
	*added = section;
	return content;
}

void add_text(struct writer *writer, const char *text)
{
	struct section *section;
	size_t bytes = strlen(text);
	unsigned char *to = add_section(writer, SECTION_TEXT, bytes, &section);

	memcpy(to, text, bytes);
	section->got = (uint32_t)bytes;
}

void add_descriptor(struct writer *writer, int fd, uint32_t kind, size_t path_room)
{
	struct section *section;
	char *path = (char *)add_section(writer, SECTION_DESCRIPTOR, path_room, &section);

	section->addr = (uint64_t)fd;
	section->len = kind | open_flags(fd) << 32;
	if (path_room > 0) {
		kind_of(fd, path);
		section->got = (uint32_t)strlen(path);
	}
	if ((sys(SYS_fcntl, (long)fd, (long)F_GETFD) & FD_CLOEXEC) != 0)
		section->flags = CLOSES_ON_EXEC;
}

uint64_t commit_record(struct writer *writer)
{
	atomic_store_explicit(&writer->record->tag, tag_of(writer->position), memory_order_release);
	unblock(writer);
	return writer->position;
}
