/* ioctl: the struct and its buffers, before the call and after it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "shim.h"

/* Bytes that are read before the size is known: all structs of iommufd are shorter. */
#define FIRST_BYTES 128u
#define GET_DEVICE_FD 0x3b6aul
#define TEST_DMABUF_GET 22u

struct ioctl_note {
	struct state *state;
	uint64_t call;
	size_t bytes; /* of the struct */
	unsigned buffer_count;
	struct buffer buffers[BUFFER_COUNT];
};

static bool is_vfio_type(unsigned long cmd)
{
	return ((cmd >> 8) & 0xff) == ';';
}

/* Requests that the file system layer answers for every descriptor: they do not reach the driver. */
static bool is_general(unsigned long cmd)
{
	switch ((uint32_t)cmd) {
	case FIOCLEX: case FIONCLEX: case FIONBIO: case FIOASYNC: case FIOQSIZE:
		return true;
	default:
		return false;
	}
}

static uint32_t kind_for(int fd, unsigned long cmd)
{
	uint32_t kind = hint_of(fd);
	char path[PATH_ROOM];

	if (kind != KIND_NONE)
		/* Nobody else has commands of this type; of any other the number may have got a new owner. */
		return is_vfio_type(cmd) ? kind : is_general(cmd) ? (uint32_t)KIND_NONE : kind_of(fd, NULL);
	if (!is_vfio_type(cmd))
		return KIND_NONE;
	kind = kind_of(fd, path);
	if (kind == KIND_NONE)
		return KIND_NONE;
	set_hint(fd, kind);
	note_received(fd, kind, path);
	return kind;
}

static void add_struct(struct writer *writer, uint64_t addr, size_t bytes, const unsigned char *first, size_t got)
{
	struct section *section;
	unsigned char *to = add_section(writer, SECTION_STRUCT, bytes, &section);

	section->addr = addr;
	if (got > bytes)
		got = bytes;
	memcpy(to, first, got);
	if (got < bytes && (got == FIRST_BYTES || first == to))
		got += peek(to + got, addr + got, bytes - got);
	section->got = (uint32_t)got;
	if (got < bytes)
		section->flags |= HAD_FAULT;
}

static size_t kept_bytes(const struct buffer *buffer)
{
	return buffer->len > BUFFER_MAX ? BUFFER_MAX : (size_t)buffer->len;
}

static void add_buffers(struct writer *writer, const struct ioctl_note *note)
{
	for (unsigned at = 0; at < note->buffer_count; at++) {
		const struct buffer *buffer = &note->buffers[at];
		struct section *section;
		size_t kept = kept_bytes(buffer);
		unsigned char *to = add_section(writer, SECTION_MEM, kept, &section);

		section->addr = buffer->addr;
		section->len = buffer->len;
		section->got = (uint32_t)peek(to, buffer->addr, kept);
		section->flags = buffer->flags | (section->got < kept ? HAD_FAULT : 0) | (kept < buffer->len ? WAS_CUT : 0);
	}
}

static size_t section_bytes(const struct ioctl_note *note)
{
	size_t bytes = note->bytes == 0 ? 0 : SECTION_BYTES(note->bytes);

	for (unsigned at = 0; at < note->buffer_count; at++)
		bytes += SECTION_BYTES(kept_bytes(&note->buffers[at]));
	return bytes;
}

static void before(struct ioctl_note *note, int fd, uint32_t kind, unsigned long cmd, unsigned long arg)
{
	unsigned char first[FIRST_BYTES];
	size_t got = 0;

	note->call = NOT_RECORDED;
	note->bytes = 0;
	note->buffer_count = 0;
	note->state = recording();
	if (note->state == NULL)
		return;
	if (kind == KIND_GROUP && (uint32_t)cmd == GET_DEVICE_FD) {
		/* The argument is a name, with its final 0. */
		char *name = (char *)first;
		got = peek_text(name, arg, FIRST_BYTES);
		note->bytes = ++got;
	} else if (struct_bytes(kind, (uint32_t)cmd, first, 0) > 0) {
		got = peek(first, arg, FIRST_BYTES);
		note->bytes = struct_bytes(kind, (uint32_t)cmd, first, got);
		/* The struct itself is all that must be readable. */
		note->buffer_count = find_buffers(kind, (uint32_t)cmd, first, got < note->bytes ? got : note->bytes, note->buffers);
	}
	struct writer writer = begin_record(note->state, RECORD_ENTER, OP_IOCTL, section_bytes(note));
	if (writer.record == NULL)
		return;
	writer.record->fd = fd;
	writer.record->kind = kind;
	writer.record->a[0] = cmd;
	writer.record->a[1] = arg;
	if (note->bytes > 0)
		add_struct(&writer, arg, note->bytes, first, got);
	add_buffers(&writer, note);
	note->call = commit_record(&writer);
}

/* Descriptors that an answer holds. */
static void keep_new_descriptor(uint32_t kind, unsigned long cmd, const unsigned char *out, size_t got, int ret)
{
	uint32_t nr = cmd & 0xff;

	if (kind == KIND_GROUP && nr == 0x6a)
		set_hint(ret, KIND_DEVICE);
	if (kind == KIND_DEVICE && nr == 0x75 && ret > 0)
		set_hint(ret, kind_of(ret, NULL)); /* a dma-buf, or the data of a migration, which is none of ours */
	if (kind != KIND_IOMMUFD && kind != KIND_CONTAINER)
		return;
	if (nr == 0x8e && got >= 16)
		set_hint((int)u32_at(out, 12), KIND_FAULT);
	if (nr == 0x93 && got >= 28)
		set_hint((int)u32_at(out, 24), KIND_VEVENTQ);
	if (nr == 0xa0 && got >= 20 && u32_at(out, 4) == 5)
		set_hint((int)u32_at(out, 16), KIND_ACCESS);
}

static void after(const struct ioctl_note *note, uint32_t kind, unsigned long cmd, unsigned long arg, int ret, int error,
	int new_fd)
{
	if (note->call == NOT_RECORDED)
		return;
	struct writer writer = begin_record(note->state, RECORD_EXIT, OP_IOCTL, section_bytes(note));
	if (writer.record == NULL)
		return;
	writer.record->call = note->call;
	writer.record->ret = ret;
	writer.record->error = (uint32_t)error;
	writer.record->fd = new_fd;
	if (note->bytes > 0) {
		unsigned char *to = writer.at + sizeof(struct section);
		struct section *section = (struct section *)writer.at;
		size_t got = peek(to, arg, note->bytes);

		add_struct(&writer, arg, note->bytes, to, got);
		section->got = (uint32_t)got;
		if (error == 0)
			keep_new_descriptor(kind, cmd, to, got, ret);
	}
	add_buffers(&writer, note);
	commit_record(&writer);
}

/* The number that the kernel will give to the next descriptor: one command installs one and does not tell it. */
static int next_descriptor(int fd)
{
	long found = sys(SYS_fcntl, (long)fd, (long)F_DUPFD_CLOEXEC, 0l);

	if (found >= 0)
		sys(SYS_close, found);
	return (int)found;
}

static bool installs_silently(uint32_t kind, unsigned long cmd, unsigned long arg)
{
	unsigned char first[8];

	return kind == KIND_IOMMUFD && (uint32_t)cmd == 0x3ba0 && peek(first, arg, 8) == 8 && u32_at(first, 4) == TEST_DMABUF_GET;
}

EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
	int saved = errno;
	struct ioctl_note note;
	va_list list;
	int new_fd = -1;

	va_start(list, cmd);
	unsigned long arg = va_arg(list, unsigned long);
	va_end(list);

	int (*next)(int, unsigned long, ...) = NEXT(ioctl);
	uint32_t kind = kind_for(fd, cmd);
	if (kind == KIND_NONE) {
		errno = saved;
		return PASS_ON(SYS_ioctl, fd, arg, next(fd, cmd, arg));
	}
	before(&note, fd, kind, cmd, arg);
	if (installs_silently(kind, cmd, arg))
		new_fd = next_descriptor(fd);
	errno = saved;
	int ret = PASS_ON(SYS_ioctl, fd, arg, next(fd, cmd, arg));
	int left = errno;
	if (new_fd >= 0 && (ret == -1 || kind_of(new_fd, NULL) != KIND_DMABUF))
		new_fd = -1;
	if (new_fd >= 0)
		set_hint(new_fd, KIND_DMABUF);
	after(&note, kind, cmd, arg, ret, ret == -1 ? left : 0, new_fd);
	errno = left;
	return ret;
}
