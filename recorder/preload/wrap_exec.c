/* exec and posix_spawn: the next program is recorded too, also when it is given another environment. */
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "shim.h"

/* ---- the environment ---- */

static const char *value_of(char *const env[], const char *assignment, size_t name_length)
{
	for (; env != NULL && *env != NULL; env++)
		if (strncmp(*env, assignment, name_length) == 0 && (*env)[name_length] == '=')
			return *env + name_length + 1;
	return NULL;
}

static bool is_whole(char *const env[])
{
	for (unsigned at = 0; at < config.env_count; at++) {
		const char *own = config.env[at];
		size_t name = (size_t)(strchr(own, '=') - own);
		const char *found = value_of(env, own, name);
		/* LD_PRELOAD may hold more than our library. */
		if (found == NULL || (at == PRELOAD_ENV ? strstr(found, own + name + 1) == NULL : strcmp(found, own + name + 1) != 0))
			return false;
	}
	return true;
}

static size_t count_of(char *const list[])
{
	size_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;
	return count;
}

/* Room for the environment that `put_environment` makes. */
#define ENV_ENTRIES(env) (count_of(env) + ENV_COUNT + 1)
#define PRELOAD_ROOM(env) (strlen(config.env[PRELOAD_ENV]) + 2 + preload_length(env))

static size_t preload_length(char *const env[])
{
	const char *theirs = value_of(env, "LD_PRELOAD", 10);

	return theirs == NULL ? 0 : strlen(theirs);
}

static char **put_environment(char *const env[], char **to, char *preload)
{
	const char *theirs = value_of(env, "LD_PRELOAD", 10);
	size_t count = 0;

	for (; env != NULL && *env != NULL; env++) {
		if (strncmp(*env, "IOASIS_RECORD_", 14) != 0 && strncmp(*env, "LD_PRELOAD=", 11) != 0)
			to[count++] = *env;
	}
	strcpy(preload, config.env[PRELOAD_ENV]);
	if (theirs != NULL && *theirs != 0 && strstr(preload, theirs) == NULL) {
		strcat(preload, ":");
		strcat(preload, theirs);
	}
	for (unsigned at = 0; at < config.env_count; at++)
		to[count++] = at == PRELOAD_ENV ? preload : config.env[at];
	to[count] = NULL;
	return to;
}

/* Memory of the caller's frame: there is no time for any other between vfork and exec. */
#define RECORDED_ENVIRONMENT(env)                                                                         \
	(!config.is_on || is_whole(env) ? (char **)(env)                                                  \
		: put_environment(env, alloca(ENV_ENTRIES(env) * sizeof(char *)), alloca(PRELOAD_ROOM(env))))

/* ---- the record: which descriptors close when it succeeds; a failure follows as its exit ---- */

static void visit_descriptor(int fd, uint32_t kind, void *context)
{
	struct writer *writer = context;

	if (writer->at + SECTION_BYTES(0) <= (unsigned char *)writer->record + writer->record->bytes)
		add_descriptor(writer, fd, kind, 0);
}

static uint64_t note_exec(struct state *state, const char *path)
{
	char text[PATH_ROOM];

	struct identity who;

	if (state == NULL || !may_record(state, &who))
		return NOT_RECORDED;
	peek_text(text, (uint64_t)(uintptr_t)path, sizeof(text));
	struct writer writer = begin_record(state, RECORD_ENTER, OP_EXEC,
		SECTION_BYTES(strlen(text)) + scan_descriptors(NULL, NULL) * SECTION_BYTES(0));
	if (writer.record == NULL)
		return NOT_RECORDED;
	set_identity(writer.record, &who);
	add_text(&writer, text);
	scan_descriptors(visit_descriptor, &writer);
	return commit_record(&writer);
}

static int failed_exec(struct state *state, uint64_t noted, int ret)
{
	int left = errno;

	note_exit(state, OP_EXEC, noted, ret, left);
	errno = left;
	return ret;
}

/* ---- the functions ---- */

EXPORT int execve(const char *path, char *const argv[], char *const env[])
{
	struct state *state = recording_already();
	uint64_t noted = note_exec(state, path);

	return failed_exec(state, noted, NEXT(execve)(path, argv, RECORDED_ENVIRONMENT(env)));
}

EXPORT int execvpe(const char *file, char *const argv[], char *const env[])
{
	struct state *state = recording_already();
	uint64_t noted = note_exec(state, file);

	return failed_exec(state, noted, NEXT(execvpe)(file, argv, RECORDED_ENVIRONMENT(env)));
}

EXPORT int fexecve(int fd, char *const argv[], char *const env[])
{
	struct state *state = recording_already();
	uint64_t noted = note_exec(state, "");

	return failed_exec(state, noted, NEXT(fexecve)(fd, argv, RECORDED_ENVIRONMENT(env)));
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* Arguments of execl and its like, on the stack. */
#define LIST_ARGUMENTS(first)                                      \
	va_list list, again;                                       \
	size_t count = 1;                                          \
	va_start(list, first);                                     \
	va_copy(again, list);                                      \
	while (va_arg(again, const char *) != NULL)                \
		count++;                                           \
	va_end(again);                                             \
	char **argv = alloca((count + 1) * sizeof(char *));        \
	argv[0] = (char *)first;                                   \
	for (size_t at = 1; at <= count; at++)                     \
		argv[at] = va_arg(list, char *)

EXPORT int execl(const char *path, const char *first, ...)
{
	LIST_ARGUMENTS(first);
	va_end(list);
	return execve(path, argv, environ);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	LIST_ARGUMENTS(first);
	va_end(list);
	return execvpe(file, argv, environ);
}

EXPORT int execle(const char *path, const char *first, ...)
{
	LIST_ARGUMENTS(first);
	char *const *env = va_arg(list, char *const *);
	va_end(list);
	return execve(path, argv, env);
}

/* The child is a process of its own: its start tells of it. */
EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const argv[], char *const env[])
{
	return NEXT(posix_spawn)(pid, path, actions, attributes, argv, RECORDED_ENVIRONMENT(env));
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const argv[], char *const env[])
{
	return NEXT(posix_spawnp)(pid, file, actions, attributes, argv, RECORDED_ENVIRONMENT(env));
}
