/*
 * What the preloaded shim and `ioasis record` share: the layout of a channel.
 *
 * A channel is one file in a memory file system, made by a process when it first has something to record and
 * mapped by it; no descriptor stays open. It is a ring: the process appends records, the recorder reads the
 * file and moves the tail. A full ring makes the process wait, so nothing is dropped and nothing grows.
 *
 * Records are appended without a lock: a writer moves `head` by compare-and-swap, fills its record, and writes
 * the tag last. The tag is a function of the position, so that neither old bytes of the ring nor a record
 * that a killed process left half-written are taken for a record. src/cli/record/channel.ts reads this.
 *
 * Little-endian, as the machine is. Change FORMAT_VERSION with anything here.
 */
#ifndef IOASIS_CHANNEL_H
#define IOASIS_CHANNEL_H

#include <stdatomic.h>
#include <stdint.h>

#define CHANNEL_MAGIC 0x31534953414f49ull /* "IOASIS1" */
#define FORMAT_VERSION 1u
#define CHANNEL_HEADER_BYTES 4096u
#define RECORD_ALIGN 16u

struct channel_header {
	uint64_t magic;
	uint32_t version;
	uint32_t pid;
	uint64_t data_bytes;
	uint64_t start_ns;
	uint32_t parent_pid;
	uint32_t pad0[7];
	/* 64: written by the process: bytes reserved so far, over all rounds of the ring */
	_Atomic uint64_t head;
	uint64_t pad1[7];
	/* 128: written by the recorder in one write: bytes consumed, the same inverted, a count that goes up
	 * while the recorder lives, and whether it wants no more */
	volatile uint64_t tail;
	volatile uint64_t tail_inverted;
	volatile uint64_t heartbeat;
	volatile uint64_t stop;
};

/* What a record says. An EXIT completes the ENTER whose position it carries; a WHOLE is both. */
enum record_type { RECORD_ENTER = 1, RECORD_EXIT = 2, RECORD_WHOLE = 3 };

enum record_op {
	OP_ATTACH = 1, /* first record of a channel; a: start_reason, parent; sections: DESCRIPTOR */
	OP_OPEN,       /* a: flags, open_how; sections: TEXT path */
	OP_CLOSE,
	OP_IOCTL,      /* a: cmd, argument; sections: STRUCT, MEM */
	OP_MMAP,       /* a: addr, len, prot << 32 | flags, off; ret: address */
	OP_MUNMAP,     /* a: addr, len */
	OP_MREMAP,     /* a: old addr, old len, new len, flags; ret: address */
	OP_MPROTECT,   /* a: addr, len, prot */
	OP_READ,       /* a: addr, len; sections: DATA. The same for the three that follow, a[2]: offset */
	OP_PREAD,
	OP_WRITE,
	OP_PWRITE,
	OP_DUP,        /* fd: old one, ret: new one, a[0]: kind that the new number had before */
	OP_FORK,       /* written by the child: pid is the parent's, ret the child */
	OP_WAIT,       /* ret: child, a[0]: status */
	OP_EXEC,       /* sections: TEXT path, DESCRIPTOR */
	OP_LIMITS,     /* a: soft RLIMIT_MEMLOCK, uid, effective capabilities, 1 in the first user namespace */
	OP_POLL,       /* a: events, timeout, revents */
	OP_MEMFD,      /* a: flags; sections: TEXT name */
	OP_FTRUNCATE,  /* a: len */
	OP_MAPS,       /* a piece of /proc/self/maps; an empty one ends it; sections: MAPS */
};

enum start_reason { START_PROGRAM = 0, START_FORK = 1 };
enum open_how { OPENED = 0, RECEIVED = 1 };

struct record {
	_Atomic uint32_t tag;
	uint32_t bytes; /* with all sections, a multiple of RECORD_ALIGN */
	uint16_t type;
	uint16_t op;
	uint32_t pid;
	uint32_t tid;
	uint32_t error; /* errno, 0 for success */
	uint64_t time_ns; /* CLOCK_MONOTONIC, read after the space was reserved */
	uint64_t call; /* position of the ENTER */
	int64_t ret;
	int32_t fd;
	uint32_t kind;
	uint64_t a[4];
	uint64_t entered_ns; /* of a WHOLE: when the call began */
};

enum section_what { SECTION_STRUCT = 1, SECTION_MEM, SECTION_TEXT, SECTION_DATA, SECTION_DESCRIPTOR, SECTION_MAPS };
enum section_flags { DIR_IN = 1, DIR_OUT = 2, WAS_CUT = 4, HAD_FAULT = 8, CLOSES_ON_EXEC = 16 };

/* Follows the record; `room` bytes follow it, of which `got` are good. */
struct section {
	uint32_t what;
	uint32_t room; /* a multiple of 8 */
	uint32_t got;
	uint32_t flags;
	uint64_t addr; /* of a DESCRIPTOR: its number */
	uint64_t len;  /* true length; of a DESCRIPTOR: its kind, and above 32 bits its open flags */
};

/* What a descriptor is; the names are those of the capture format, in this order. */
enum fd_kind {
	KIND_NONE, KIND_IOMMUFD, KIND_CONTAINER, KIND_GROUP, KIND_DEVICE, KIND_ACCESS, KIND_FAULT, KIND_VEVENTQ,
	KIND_DMABUF, KIND_MEMFD,
};

static inline uint32_t tag_of(uint64_t position)
{
	return ((uint32_t)(position / RECORD_ALIGN) * 2654435761u ^ 0x10a515edu) | 1u;
}

#endif
