/* What a descriptor is: a hint kept by number, and the kernel's own word in /proc. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "shim.h"

static unsigned char hints[FD_COUNT];

uint32_t hint_of(int fd)
{
	return fd >= 0 && fd < FD_COUNT ? hints[fd] : (uint32_t)KIND_NONE;
}

void set_hint(int fd, uint32_t kind)
{
	if (fd >= 0 && fd < FD_COUNT)
		hints[fd] = (unsigned char)kind;
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static uint32_t kind_of_device(const char *path)
{
	if (strcmp(path, "/dev/iommu") == 0)
		return KIND_IOMMUFD;
	if (strcmp(path, "/dev/vfio/vfio") == 0)
		return KIND_CONTAINER;
	if (begins(path, "/dev/vfio/devices/"))
		return KIND_DEVICE;
	if (begins(path, "/dev/vfio/"))
		return KIND_GROUP;
	return KIND_NONE;
}

uint32_t kind_of_path(const char *path, char *device)
{
	for (unsigned at = 0; at < config.standin_count; at++) {
		if (strcmp(path, config.standins[at].path) == 0) {
			strcpy(device, config.standins[at].device);
			return kind_of_device(device);
		}
	}
	if (strlen(path) < PATH_ROOM)
		strcpy(device, path);
	return kind_of_device(path);
}

static uint32_t kind_of_link(const char *link, char *device)
{
	static const struct { const char *begin; uint32_t kind; } NAMES[] = {
		{ "anon_inode:[vfio-device]", KIND_DEVICE },
		{ "anon_inode:[iommufd-pgfault]", KIND_FAULT },
		{ "anon_inode:[iommufd-viommu-event]", KIND_VEVENTQ },
		{ "anon_inode:[iommufd_test_staccess]", KIND_ACCESS },
		{ "/dmabuf:", KIND_DMABUF },
		{ "/memfd:", KIND_MEMFD },
	};

	for (size_t at = 0; at < sizeof(NAMES) / sizeof(NAMES[0]); at++) {
		if (begins(link, NAMES[at].begin)) {
			strcpy(device, link);
			return NAMES[at].kind;
		}
	}
	return kind_of_path(link, device);
}

static char *put_number(char *to, unsigned number)
{
	char digits[10];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0)
		*to++ = digits[--count];
	*to = 0;
	return to;
}

uint32_t kind_of(int fd, char *path)
{
	char name[64] = "/proc/thread-self/fd/", link[PATH_ROOM], device[PATH_ROOM];

	device[0] = 0;
	if (path != NULL)
		path[0] = 0;
	if (fd < 0)
		return KIND_NONE;
	put_number(name + strlen(name), (unsigned)fd);
	long length = sys(SYS_readlinkat, (long)AT_FDCWD, name, link, sizeof(link) - 1);
	/* A name that fills the room was cut, and is none of ours. */
	if (length <= 0 || length == sizeof(link) - 1)
		return KIND_NONE;
	link[length] = 0;
	uint32_t kind = kind_of_link(link, device);
	if (path != NULL)
		strcpy(path, device);
	return kind;
}

uint32_t known_kind(int fd)
{
	return hint_of(fd) == KIND_NONE ? (uint32_t)KIND_NONE : kind_of(fd, NULL);
}

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	unsigned short bytes;
	unsigned char type;
	char name[];
};

unsigned scan_descriptors(void (*visit)(int fd, uint32_t kind, void *context), void *context)
{
	char buffer[1024] __attribute__((aligned(8)));
	unsigned count = 0;
	long got;
	long folder = sys(SYS_openat, (long)AT_FDCWD, "/proc/thread-self/fd", (long)(O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	while (folder >= 0 && (got = sys(SYS_getdents64, folder, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < got;) {
			const struct linux_dirent64 *entry = (const struct linux_dirent64 *)(buffer + at);
			int fd = 0;

			at += entry->bytes;
			for (const char *digit = entry->name; *digit >= '0' && *digit <= '9'; digit++)
				fd = fd * 10 + (*digit - '0');
			if (entry->name[0] < '0' || entry->name[0] > '9' || fd == folder)
				continue;
			uint32_t kind = kind_of(fd, NULL);
			if (kind == KIND_NONE)
				continue;
			set_hint(fd, kind);
			count++;
			if (visit != NULL)
				visit(fd, kind, context);
		}
	}
	if (folder >= 0)
		sys(SYS_close, folder);
	return count;
}
