/* What `ioasis record` tells the shim, through the environment of the program. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "shim.h"

struct config config;

static bool copy_text(char *to, size_t room, const char *from, size_t length)
{
	if (length >= room)
		return false;
	memcpy(to, from, length);
	to[length] = 0;
	return true;
}

/* IOASIS_RECORD_DEVICES: "DEVICE=PATH" lines: what is open at PATH stands for DEVICE. */
static void read_standins(const char *text)
{
	while (*text != 0 && config.standin_count < STANDIN_COUNT) {
		const char *end = strchrnul(text, '\n');
		const char *equals = memchr(text, '=', (size_t)(end - text));
		unsigned at = config.standin_count;

		if (equals != NULL &&
		    copy_text(config.standins[at].device, PATH_ROOM, text, (size_t)(equals - text)) &&
		    copy_text(config.standins[at].path, PATH_ROOM, equals + 1, (size_t)(end - equals - 1)))
			config.standin_count++;
		text = *end == 0 ? end : end + 1;
	}
}

/* The program may change its environment, so this is a copy. It is made before the program's own code runs. */
static void keep_env(const char *name)
{
	static char store[4096];
	static size_t used;
	const char *value = getenv(name);
	size_t length = strlen(name), total;

	if (value == NULL)
		value = "";
	total = length + 1 + strlen(value) + 1;
	if (used + total > sizeof(store))
		return;
	config.env[config.env_count++] = store + used;
	memcpy(store + used, name, length);
	store[used + length] = '=';
	strcpy(store + used + length + 1, value);
	used += total;
}

void read_config(void)
{
	static const char *const NAMES[ENV_COUNT] = { "LD_PRELOAD", "IOASIS_RECORD_FOLDER", "IOASIS_RECORD_FOLLOW",
		"IOASIS_RECORD_RING", "IOASIS_RECORD_PID", "IOASIS_RECORD_DEVICES" };
	const char *folder = getenv("IOASIS_RECORD_FOLDER");
	const char *follow = getenv("IOASIS_RECORD_FOLLOW");
	const char *bytes = getenv("IOASIS_RECORD_RING");
	const char *recorder = getenv("IOASIS_RECORD_PID");
	const char *devices = getenv("IOASIS_RECORD_DEVICES");

	config.image_pid = (uint32_t)sys(SYS_getpid);
	if (folder == NULL || !copy_text(config.folder, PATH_ROOM, folder, strlen(folder)))
		return;
	config.follows = follow != NULL && follow[0] == '1';
	config.ring_bytes = bytes == NULL ? 0 : strtoull(bytes, NULL, 10);
	config.recorder_pid = recorder == NULL ? 0 : (uint32_t)strtoul(recorder, NULL, 10);
	if (devices != NULL)
		read_standins(devices);
	for (unsigned at = 0; at < ENV_COUNT; at++)
		keep_env(NAMES[at]);
	/* A power of two of whole pages. */
	if (config.ring_bytes < (1u << 20) || (config.ring_bytes & (config.ring_bytes - 1)) != 0)
		return;
	/* Without --follow-forks only the program that the recorder itself started is recorded. */
	config.is_on = config.follows || (uint32_t)sys(SYS_getppid) == config.recorder_pid;
}
