/* Inside the shim: what its files share. Everything here is safe in a signal handler and changes no errno. */
#ifndef IOASIS_SHIM_H
#define IOASIS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORT __attribute__((visibility("default")))

/* ---- libc.c: system calls without errno, and the functions of libc that the shim stands before ---- */

/* As the kernel answers: a negative error number on failure. */
HIDDEN long sys(long number, ...);
HIDDEN uint64_t now_ns(void);
/* The next definition of a function; `*cache` keeps it. */
HIDDEN void *next_function(void **cache, const char *name);
#define NEXT(name) ({ static void *cache_; (__typeof__(&name))next_function(&cache_, #name); })

/*
 * The call that this thread is passing on. What stands behind us, another preloaded library, may pass it on to
 * libc's syscall(), which is ours again: that is the same call, not one more.
 */
struct passing {
	long number;
	uint64_t first, second;
};
HIDDEN extern __thread struct passing passing __attribute__((tls_model("initial-exec")));
#define PASS_ON(number, first, second, call)                                              \
	({                                                                                \
		struct passing outer_ = passing;                                          \
		passing = (struct passing){ number, (uint64_t)(first), (uint64_t)(second) }; \
		__typeof__(call) passed_ = (call);                                        \
		passing = outer_;                                                         \
		passed_;                                                                  \
	})

/* ---- message.c ---- */

/* One line on stderr: "ioasis record: pid N: TEXT (error E)"; no error when it is 0. */
HIDDEN void say(const char *text, int error);

/* ---- peek.c: user memory that may not be there ---- */

/* Copies what is readable from `from` on; answers how many bytes. */
HIDDEN size_t peek(void *to, uint64_t from, size_t bytes);
/* Copies a string, always ended with 0; answers its length. */
HIDDEN size_t peek_text(char *to, uint64_t from, size_t room);

/* ---- config.c ---- */

#define STANDIN_COUNT 16
#define PATH_ROOM 256
#define ENV_COUNT 6
#define PRELOAD_ENV 0 /* the place of LD_PRELOAD in env */
struct config {
	bool is_on;
	bool follows; /* children too */
	char folder[PATH_ROOM];
	/* Our part of the environment, as NAME=VALUE, for programs that are started from here. */
	char *env[ENV_COUNT];
	unsigned env_count;
	uint64_t ring_bytes;
	uint32_t recorder_pid;
	uint32_t image_pid; /* process that this program was started in */
	struct { char path[PATH_ROOM], device[PATH_ROOM]; } standins[STANDIN_COUNT];
	unsigned standin_count;
};
HIDDEN extern struct config config;
HIDDEN void read_config(void);

/* ---- state.c: is this process recorded, and into which channel ---- */

/*
 * One page that the kernel clears in a child of fork, so that a child that nobody announced starts anew,
 * while a child of vfork, which shares the memory, goes on using its parent's channel.
 */
struct state {
	_Atomic uint32_t phase;
	uint32_t pid;
	struct channel_header *header;
	unsigned char *data; /* mapped twice in a row */
	uint64_t bytes;
	_Atomic uint64_t tail_seen;
};
/* Null when nothing is recorded here. Makes the channel on the first call of a process. */
HIDDEN struct state *recording(void);
/* The same, where the caller notes by itself how it got `new_fd`: a new channel does not list it. */
HIDDEN struct state *recording_for(int new_fd);
/* The same, without making one. */
HIDDEN struct state *recording_already(void);
HIDDEN void stop_recording(struct state *state);
HIDDEN bool is_recorded_child(void);

/* ---- channel.c ---- */

HIDDEN int make_channel(struct state *state, int new_fd);
HIDDEN void leave_channel(struct state *state);

/* ---- record.c ---- */

struct writer {
	struct state *state;
	struct record *record; /* null when it could not be reserved */
	unsigned char *at;     /* where the next section goes */
	uint64_t position;     /* of the record in the channel */
	uint64_t signals;      /* the thread's mask before the record was begun */
};
#define SECTION_BYTES(bytes) (sizeof(struct section) + (((size_t)(bytes) + 7) & ~(size_t)7))

/* Reserves a record with `section_bytes` (a sum of SECTION_BYTES) behind it. Waits while the ring is full. */
HIDDEN struct writer begin_record(struct state *state, int type, int op, size_t section_bytes);
/* Adds a section with room for `bytes`, and answers where they go. */
HIDDEN unsigned char *add_section(struct writer *writer, int what, size_t bytes, struct section **section);
/* `path_room`: PATH_ROOM to add the name of the device too, else 0. */
HIDDEN void add_descriptor(struct writer *writer, int fd, uint32_t kind, size_t path_room);
HIDDEN void add_text(struct writer *writer, const char *text);
HIDDEN uint64_t commit_record(struct writer *writer);

/* ---- calls.c: the common shapes of a record ---- */

/*
 * Who calls. Everything but ioctl is also called between vfork and exec, by a child that runs in its parent's
 * memory but has descriptors of its own: there the kernel is asked.
 */
struct identity {
	uint32_t pid, tid; /* tid 0: the process of the state */
};
/* False for such a child when children are not recorded. */
HIDDEN bool may_record(const struct state *state, struct identity *who);
HIDDEN void set_identity(struct record *record, const struct identity *who);

struct call {
	int op;
	int fd;
	uint32_t kind;
	uint64_t a[4];
};
/* Position of the record, to be given to note_exit; NOT_RECORDED without a channel. */
#define NOT_RECORDED UINT64_MAX
HIDDEN uint64_t note_enter(struct state *state, const struct call *call);
HIDDEN void note_exit(struct state *state, int op, uint64_t call, int64_t ret, int error);
HIDDEN void note_whole(struct state *state, const struct call *call, uint64_t entered_ns, int64_t ret, int error,
	const char *text);
HIDDEN void note_data(struct state *state, const struct call *call, uint64_t entered_ns, int64_t ret, int error,
	size_t bytes);
HIDDEN void note_limits(struct state *state);
HIDDEN uint64_t open_flags(int fd);
HIDDEN void note_received(int fd, uint32_t kind, const char *path);

/* ---- kinds.c: what a descriptor is ---- */

#define FD_COUNT 65536
/* What was last seen behind a number. A hint: it may have been closed where the shim does not see it. */
HIDDEN uint32_t hint_of(int fd);
HIDDEN void set_hint(int fd, uint32_t kind);
/* Asks the kernel; `path` (PATH_ROOM, or null) gets the name of the device. */
HIDDEN uint32_t kind_of(int fd, char *path);
/* The kind when the hint says that it is worth asking, else KIND_NONE. */
HIDDEN uint32_t known_kind(int fd);
HIDDEN uint32_t kind_of_path(const char *path, char *device);
/* Looks at all descriptors of the process, and keeps what it finds; answers how many are worth recording. */
HIDDEN unsigned scan_descriptors(void (*visit)(int fd, uint32_t kind, void *context), void *context);

/* ---- layout.c: which bytes belong to an ioctl ---- */

#define STRUCT_MAX 4096u
#define BUFFER_MAX 65536u
#define BUFFER_COUNT 2
struct buffer {
	uint64_t addr, len;
	uint32_t flags;
};
/* Bytes of the struct at the argument, from its first bytes; 0 when the argument is a plain value. */
HIDDEN size_t struct_bytes(uint32_t kind, uint32_t cmd, const unsigned char *first, size_t got);
HIDDEN unsigned find_buffers(uint32_t kind, uint32_t cmd, const unsigned char *arg, size_t got, struct buffer *found);

static inline uint32_t u32_at(const unsigned char *bytes, size_t at)
{
	uint32_t value;
	__builtin_memcpy(&value, bytes + at, sizeof(value));
	return value;
}
static inline uint64_t u64_at(const unsigned char *bytes, size_t at)
{
	uint64_t value;
	__builtin_memcpy(&value, bytes + at, sizeof(value));
	return value;
}

/* ---- wrap_open.c ---- */

/* After any call that opens: notes it, and answers `fd` with errno as the call left it. */
HIDDEN int opened(int fd, const char *path, int flags, uint64_t entered_ns);

#endif
