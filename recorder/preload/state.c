/* Whether this process is recorded. See struct state in shim.h for fork and vfork. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "shim.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum phase { UNSET = 0, MAKING, ON, OFF };

static struct state *page;

/* A child of vfork, or of clone with CLONE_VM: it runs in memory that is not its own. */
static bool is_borrowed(struct state *state)
{
	return state->pid != (uint32_t)sys(SYS_getpid);
}

/* Signals stay blocked meanwhile: a handler that records would wait for the channel that it interrupts. */
static void make(struct state *state, int new_fd)
{
	uint64_t all = ~0ull, before = 0;
	uint32_t expected = UNSET;

	sys(SYS_rt_sigprocmask, 0ul /* SIG_BLOCK */, &all, &before, 8ul);
	if (atomic_compare_exchange_strong(&state->phase, &expected, MAKING)) {
		state->pid = (uint32_t)sys(SYS_getpid);
		bool wanted = config.follows || state->pid == config.image_pid;
		int error = wanted ? make_channel(state, new_fd) : 0;
		if (error != 0)
			say("the channel to the recorder cannot be made: nothing of this process is recorded", error);
		atomic_store(&state->phase, wanted && error == 0 ? ON : OFF);
	} else {
		while (atomic_load(&state->phase) == MAKING)
			sys(SYS_sched_yield);
	}
	sys(SYS_rt_sigprocmask, 2ul /* SIG_SETMASK */, &before, 0ul, 8ul);
}

struct state *recording_already(void)
{
	struct state *state = page;

	if (state == NULL || atomic_load_explicit(&state->phase, memory_order_acquire) != ON)
		return NULL;
	if (state->header->stop != 0) {
		stop_recording(state);
		return NULL;
	}
	return state;
}

struct state *recording_for(int new_fd)
{
	struct state *state = page;

	if (state == NULL)
		return NULL;
	if (atomic_load_explicit(&state->phase, memory_order_acquire) == UNSET) {
		if (!config.follows && state->pid != 0 && is_borrowed(state))
			return NULL;
		make(state, new_fd);
	}
	return recording_already();
}

struct state *recording(void)
{
	return recording_for(-1);
}

void stop_recording(struct state *state)
{
	atomic_store(&state->phase, OFF);
}

bool is_recorded_child(void)
{
	return page != NULL && config.follows;
}

static void visit_nothing(int fd, uint32_t kind, void *context)
{
	(void)fd;
	(void)kind;
	(void)context;
}

/* Before the program's own code, so that what it inherits is known, and dlsym never runs in a handler. */
__attribute__((constructor(101))) static void start(void)
{
	read_config();
	if (!config.is_on)
		return;
	long mapped = sys(SYS_mmap, 0ul, 4096ul, (long)(PROT_READ | PROT_WRITE), (long)(MAP_PRIVATE | MAP_ANONYMOUS),
		-1l, 0l);
	if (mapped < 0 && mapped > -4096) {
		say("no memory: nothing of this process is recorded", (int)mapped);
		return;
	}
	long error = sys(SYS_madvise, mapped, 4096ul, (long)MADV_WIPEONFORK);
	if (error != 0) {
		say("the kernel is older than 4.14: nothing of this process is recorded", (int)error);
		return;
	}
	page = (struct state *)mapped;
	page->pid = config.image_pid;
	if (scan_descriptors(visit_nothing, NULL) > 0)
		recording();
}
