/* The common shapes of a record. */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/syscall.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <linux/capability.h>

#include "shim.h"

bool may_record(const struct state *state, struct identity *who)
{
	who->pid = (uint32_t)sys(SYS_getpid);
	who->tid = 0;
	if (who->pid == state->pid)
		return true;
	who->tid = (uint32_t)sys(SYS_gettid);
	return config.follows;
}

void set_identity(struct record *record, const struct identity *who)
{
	if (who->tid != 0) {
		record->pid = who->pid;
		record->tid = who->tid;
	}
}

static void fill(struct record *record, const struct call *call)
{
	record->fd = call->fd;
	record->kind = call->kind;
	memcpy(record->a, call->a, sizeof(record->a));
}

uint64_t note_enter(struct state *state, const struct call *call)
{
	struct identity who;

	if (state == NULL || !may_record(state, &who))
		return NOT_RECORDED;
	struct writer writer = begin_record(state, RECORD_ENTER, call->op, 0);
	if (writer.record == NULL)
		return NOT_RECORDED;
	set_identity(writer.record, &who);
	fill(writer.record, call);
	return commit_record(&writer);
}

void note_exit(struct state *state, int op, uint64_t call, int64_t ret, int error)
{
	if (state == NULL || call == NOT_RECORDED)
		return;
	struct writer writer = begin_record(state, RECORD_EXIT, op, 0);
	if (writer.record == NULL)
		return;
	writer.record->call = call;
	writer.record->ret = ret;
	writer.record->error = (uint32_t)error;
	commit_record(&writer);
}

static struct writer begin_whole(struct state *state, const struct call *call, uint64_t entered_ns, int64_t ret,
	int error, size_t section_bytes)
{
	struct writer writer = { state, NULL, NULL, 0, 0 };
	struct identity who;

	if (state == NULL || !may_record(state, &who))
		return writer;
	writer = begin_record(state, RECORD_WHOLE, call->op, section_bytes);
	if (writer.record != NULL) {
		set_identity(writer.record, &who);
		fill(writer.record, call);
		writer.record->ret = ret;
		writer.record->error = (uint32_t)error;
		writer.record->entered_ns = entered_ns;
	}
	return writer;
}

void note_whole(struct state *state, const struct call *call, uint64_t entered_ns, int64_t ret, int error,
	const char *text)
{
	size_t bytes = text == NULL ? 0 : SECTION_BYTES(strlen(text));
	struct writer writer = begin_whole(state, call, entered_ns, ret, error, bytes);
	if (writer.record == NULL)
		return;
	if (text != NULL)
		add_text(&writer, text);
	commit_record(&writer);
}

/* A read or write: `bytes` at a[0] were moved, or were to be. */
void note_data(struct state *state, const struct call *call, uint64_t entered_ns, int64_t ret, int error, size_t bytes)
{
	size_t kept = bytes > BUFFER_MAX ? BUFFER_MAX : bytes;
	struct writer writer = begin_whole(state, call, entered_ns, ret, error, SECTION_BYTES(kept));
	if (writer.record == NULL)
		return;
	struct section *section;
	unsigned char *to = add_section(&writer, SECTION_DATA, kept, &section);
	section->addr = call->a[0];
	section->len = bytes;
	section->got = (uint32_t)peek(to, call->a[0], kept);
	if (section->got < kept)
		section->flags |= HAD_FAULT;
	if (kept < bytes)
		section->flags |= WAS_CUT;
	commit_record(&writer);
}

/* What pinned memory is charged to, and against which limit. */
void note_limits(struct state *state)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	struct rlimit limit = { 0, 0 };
	char space[64];
	struct call call = { OP_LIMITS, -1, KIND_NONE, { 0 } };

	sys(SYS_prlimit64, 0l, (long)RLIMIT_MEMLOCK, 0l, &limit);
	sys(SYS_capget, &head, data);
	long length = sys(SYS_readlinkat, (long)AT_FDCWD, "/proc/self/ns/user", space, sizeof(space) - 1);
	space[length > 0 ? length : 0] = 0;
	call.a[0] = limit.rlim_cur;
	call.a[1] = (uint64_t)sys(SYS_getuid);
	call.a[2] = (uint64_t)data[1].effective << 32 | data[0].effective;
	/* The first user namespace has a fixed number: PROC_USER_INIT_INO of the kernel. */
	call.a[3] = strcmp(space, "user:[4026531837]") == 0;
	note_whole(state, &call, now_ns(), 0, 0, NULL);
}

/* As a program gave them to open: the kernel adds O_LARGEFILE on 64-bit machines. */
uint64_t open_flags(int fd)
{
	return (uint64_t)sys(SYS_fcntl, (long)fd, (long)F_GETFL) & ~0100000ull;
}

/* A descriptor that came from somewhere else: another process, or a library that does its own system calls. */
void note_received(int fd, uint32_t kind, const char *path)
{
	struct call call = { OP_OPEN, fd, kind, { open_flags(fd), RECEIVED } };

	note_whole(recording_for(fd), &call, now_ns(), fd, 0, path);
}
