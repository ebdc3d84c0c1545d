/* Processes: fork, wait, and what changes the limits of locked memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim.h"

/* ---- fork: the child tells of itself in its parent's channel, before it does anything else ---- */

static void tell_birth(const struct state *parent, uint64_t entered_ns)
{
	struct state borrowed = *parent;
	struct call call = { OP_FORK, -1, KIND_NONE, { parent->pid } };
	struct writer writer = begin_record(&borrowed, RECORD_WHOLE, OP_FORK, 0);

	if (writer.record == NULL)
		return;
	memcpy(writer.record->a, call.a, sizeof(call.a));
	writer.record->ret = (int64_t)sys(SYS_getpid);
	writer.record->entered_ns = entered_ns;
	commit_record(&writer);
}

static pid_t fork_with(pid_t (*next)(void))
{
	/* A copy: the page of the state is cleared in the child. */
	struct state *state = recording_already();
	struct state parent = { 0 };
	int saved = errno;

	if (state != NULL) {
		memcpy(&parent, state, sizeof(parent));
		parent.pid = (uint32_t)sys(SYS_getpid);
	}
	uint64_t entered = now_ns();
	errno = saved;
	pid_t ret = next();
	int left = errno;
	if (ret == 0 && state != NULL && config.follows)
		tell_birth(&parent, entered);
	errno = left;
	return ret;
}

EXPORT pid_t fork(void)
{
	return fork_with(NEXT(fork));
}

EXPORT pid_t _Fork(void);
EXPORT pid_t _Fork(void)
{
	return fork_with(NEXT(_Fork));
}

/* ---- wait: a child that is gone holds no descriptor any more ---- */

static pid_t waited(pid_t child, const int *status, uint64_t entered_ns)
{
	int left = errno;

	if (child > 0 && (WIFEXITED(*status) || WIFSIGNALED(*status))) {
		struct call call = { OP_WAIT, -1, KIND_NONE, { (uint64_t)(unsigned)*status } };
		note_whole(recording_already(), &call, entered_ns, child, 0, NULL);
	}
	errno = left;
	return child;
}

/* The program may not want the status; we do. */
#define STATUS(status) int own = 0, *to = (status) == NULL ? &own : (status)

EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	STATUS(status);
	uint64_t entered = now_ns();
	return waited(NEXT(waitpid)(pid, to, options), to, entered);
}

EXPORT pid_t wait(int *status)
{
	STATUS(status);
	uint64_t entered = now_ns();
	return waited(NEXT(wait)(to), to, entered);
}

EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
	STATUS(status);
	uint64_t entered = now_ns();
	return waited(NEXT(wait3)(to, options, usage), to, entered);
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	STATUS(status);
	uint64_t entered = now_ns();
	return waited(NEXT(wait4)(pid, to, options, usage), to, entered);
}

EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	siginfo_t own = { 0 }, *to = info == NULL ? &own : info;
	uint64_t entered = now_ns();
	int ret = NEXT(waitid)(type, id, to, options);

	if (ret == 0 && to->si_pid > 0 && (options & WNOWAIT) == 0 &&
	    (to->si_code == CLD_EXITED || to->si_code == CLD_KILLED || to->si_code == CLD_DUMPED)) {
		int status = to->si_code == CLD_EXITED ? (to->si_status & 0xff) << 8 : to->si_status & 0x7f;
		waited(to->si_pid, &status, entered);
	}
	return ret;
}

/* ---- what pinned memory is charged to ---- */

static int changed(int ret)
{
	int left = errno;
	struct state *state = recording_already();

	if (ret == 0 && state != NULL)
		note_limits(state);
	errno = left;
	return ret;
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return changed(NEXT(setrlimit)(resource, limit));
}

EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return changed(NEXT(setrlimit64)(resource, limit));
}

EXPORT int setuid(uid_t uid)
{
	return changed(NEXT(setuid)(uid));
}

EXPORT int seteuid(uid_t uid)
{
	return changed(NEXT(seteuid)(uid));
}

EXPORT int setreuid(uid_t real, uid_t effective)
{
	return changed(NEXT(setreuid)(real, effective));
}

EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return changed(NEXT(setresuid)(real, effective, saved));
}

EXPORT int capset(void *header, const void *data);
EXPORT int capset(void *header, const void *data)
{
	return changed(NEXT(capset)(header, data));
}
