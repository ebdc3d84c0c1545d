/* Records: a place in the ring for each, without a lock, and what is written there. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "shim.h"

/* How long a full ring is waited for while the recorder shows no sign of life. */
#define PATIENCE_NS 30000000000ull
/* Between two looks at it. */
#define PAUSE_MIN_NS 100000
#define PAUSE_MAX_NS 800000

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
