/*
 * Stands for a kernel with iommufd, behind the recorder: answers the ioctls of a descriptor that is open at
 * IOASIS_STANDIN, each by a rule that a test can compute again from the request.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_standin(int fd)
{
	char name[64], link[PATH_MAX];
	const char *path = getenv("IOASIS_STANDIN");
	char *at = name + sizeof("/proc/thread-self/fd/") - 1, digits[12];
	int count = 0;

	if (path == NULL || fd < 0)
		return 0;
	memcpy(name, "/proc/thread-self/fd/", sizeof("/proc/thread-self/fd/"));
	do
		digits[count++] = (char)('0' + fd % 10);
	while ((fd /= 10) != 0);
	while (count > 0)
		*at++ = digits[--count];
	*at = 0;
	ssize_t length = readlink(name, link, sizeof(link) - 1);
	if (length <= 0)
		return 0;
	link[length] = 0;
	return strcmp(link, path) == 0;
}

int ioctl(int fd, unsigned long cmd, ...)
{
	va_list list;

	va_start(list, cmd);
	unsigned char *arg = va_arg(list, unsigned char *);
	va_end(list);
	if (((cmd >> 8) & 0xff) != ';' || !is_standin(fd))
		return (int)syscall(SYS_ioctl, fd, cmd, arg);
	uint64_t word;
	uint32_t half;
	switch (cmd) {
	case 0x3b81: /* IOAS_ALLOC: the id is one more than the flags */
		memcpy(&half, arg + 4, 4);
		half += 1;
		memcpy(arg + 8, &half, 4);
		return 0;
	case 0x3b85: /* IOAS_MAP: every seventh user_va is bad, else iova is its complement */
		memcpy(&word, arg + 16, 8);
		if (word % 7 == 0) {
			errno = EFAULT;
			return -1;
		}
		word = ~word;
		memcpy(arg + 32, &word, 8);
		return 0;
	case 0x3b84: { /* IOAS_IOVA_RANGES: fills the array */
		uint32_t count;
		uint64_t ranges;
		memcpy(&count, arg + 8, 4);
		memcpy(&ranges, arg + 16, 8);
		for (uint32_t i = 0; i < count; i++)
			((uint64_t *)ranges)[2 * i] = i, ((uint64_t *)ranges)[2 * i + 1] = i + 1;
		return 0;
	}
	default:
		errno = ENOTTY;
		return -1;
	}
}
