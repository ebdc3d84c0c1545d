/* System calls without errno, and the next definitions of the functions that the shim stands before. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim.h"

__thread struct passing passing __attribute__((tls_model("initial-exec")));

long sys(long number, ...)
{
	int saved = errno;
	unsigned long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, unsigned long);
	va_end(list);
	long ret = NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (ret == -1)
		ret = -errno;
	errno = saved;
	return ret;
}

uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void *next_function(void **cache, const char *name)
{
	void *found = __atomic_load_n(cache, __ATOMIC_RELAXED);

	if (found == NULL) {
		int saved = errno;
		found = dlsym(RTLD_NEXT, name);
		errno = saved;
		if (found == NULL) {
			say("libc has no such function as the program calls", 0);
			abort();
		}
		__atomic_store_n(cache, found, __ATOMIC_RELAXED);
	}
	return found;
}
