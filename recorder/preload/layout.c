/*
 * Which bytes belong to an ioctl: the struct at its argument, and the buffers that the struct points to.
 *
 * The sizes are those of include/uapi/linux/iommufd.h, vfio.h and drivers/iommu/iommufd/iommufd_test.h. All
 * structs of iommufd begin with their own size, those of VFIO with argsz, but for the few below.
 */
#include "shim.h"

#define NR(cmd) ((cmd) & 0xff)
#define TYPE_AND_SIZE(cmd) ((cmd) & 0xffffff00u)
#define VFIO_TYPE 0x3b00u

static bool is_iommufd(uint32_t kind, uint32_t nr)
{
	return nr >= 0x80 && (kind == KIND_IOMMUFD || kind == KIND_CONTAINER);
}

/* The least that the kernel reads, where it is more than the size field. 0: no struct. */
static size_t least_bytes(uint32_t kind, uint32_t nr)
{
	bool is_device = kind == KIND_DEVICE;

	switch (nr) {
	case 0x64: case 0x65: case 0x66: /* GET_API_VERSION, CHECK_EXTENSION, SET_IOMMU */
	case 0x69: case 0x6f:            /* UNSET_CONTAINER, DEVICE_RESET */
		return 0;
	case 0x68: /* SET_CONTAINER: one descriptor */
		return 4;
	case 0x6b: return 16; /* DEVICE_GET_INFO */
	case 0x6c: return 32; /* DEVICE_GET_REGION_INFO */
	case 0x6d: return 16; /* DEVICE_GET_IRQ_INFO */
	case 0x6e: return 20; /* DEVICE_SET_IRQS */
	case 0x70: return is_device ? 12 : 16; /* GET_PCI_HOT_RESET_INFO, IOMMU_GET_INFO */
	case 0x71: return is_device ? 12 : 32; /* PCI_HOT_RESET, MAP_DMA */
	case 0x72: return is_device ? 8 : 24;  /* QUERY_GFX_PLANE, UNMAP_DMA */
	case 0x73: case 0x74: /* GET_GFX_DMABUF, IOEVENTFD; of a container ENABLE and DISABLE, without a struct */
		return is_device ? 8 : 0;
	case 0x76: return 16; /* BIND_IOMMUFD */
	case 0x77: return 12; /* ATTACH_IOMMUFD_PT */
	default: return 8;
	}
}

size_t struct_bytes(uint32_t kind, uint32_t cmd, const unsigned char *first, size_t got)
{
	uint32_t nr = NR(cmd);
	size_t least;

	if (TYPE_AND_SIZE(cmd) != VFIO_TYPE)
		return 0;
	if (kind != KIND_IOMMUFD && kind != KIND_CONTAINER && kind != KIND_GROUP && kind != KIND_DEVICE)
		return 0;
	if (is_iommufd(kind, nr)) {
		least = 4;
	} else {
		least = least_bytes(kind, nr);
		if (least == 0 || nr == 0x68)
			return least;
	}
	size_t size = got < 4 ? 0 : u32_at(first, 0);
	if (size < least)
		size = least;
	return size > STRUCT_MAX ? STRUCT_MAX : size;
}

static unsigned one(struct buffer *found, uint64_t addr, uint64_t len, uint32_t flags)
{
	*found = (struct buffer){ addr, len, flags };
	return 1;
}

static uint64_t bitmap_bytes(uint64_t length, uint64_t page, uint64_t unit_bits)
{
	uint64_t bits = page == 0 ? 0 : length / page + (length % page != 0);

	return (bits + unit_bits - 1) / unit_bits * (unit_bits / 8);
}

/* IOMMU_TEST_CMD: `op` at 4, a union at 16. */
static unsigned find_test_buffers(const unsigned char *arg, size_t got, struct buffer *found)
{
	switch (u32_at(arg, 4)) {
	case 8: /* ACCESS_RW: iova, length, uptr, flags; 1 writes what uptr points to */
		return got < 44 ? 0 : one(found, u64_at(arg, 32), u64_at(arg, 24), u32_at(arg, 40) & 1 ? DIR_IN : DIR_OUT);
	case 13: /* DIRTY: flags, iova, length, page_size, uptr */
		return got < 56 || u64_at(arg, 40) == 0 ? 0 :
			one(found, u64_at(arg, 48), (u64_at(arg, 32) / u64_at(arg, 40) + 7) / 8, DIR_IN);
	default:
		return 0;
	}
}

static unsigned find_iommufd_buffers(uint32_t nr, const unsigned char *arg, size_t got, struct buffer *found)
{
	switch (nr) {
	case 0x82: /* IOAS_ALLOW_IOVAS */
		return got < 24 ? 0 : one(found, u64_at(arg, 16), (uint64_t)u32_at(arg, 8) * 16, DIR_IN);
	case 0x84: /* IOAS_IOVA_RANGES */
		return got < 24 ? 0 : one(found, u64_at(arg, 16), (uint64_t)u32_at(arg, 8) * 16, DIR_OUT);
	case 0x89: /* HWPT_ALLOC */
		return got < 40 || (u32_at(arg, 28) == 0 && u64_at(arg, 32) == 0) ? 0 :
			one(found, u64_at(arg, 32), u32_at(arg, 28), DIR_IN);
	case 0x8a: /* GET_HW_INFO */
		return got < 24 ? 0 : one(found, u64_at(arg, 16), u32_at(arg, 12), DIR_OUT);
	case 0x8c: /* HWPT_GET_DIRTY_BITMAP: whole u64 */
		return got < 48 ? 0 :
			one(found, u64_at(arg, 40), bitmap_bytes(u64_at(arg, 24), u64_at(arg, 32), 64), DIR_IN | DIR_OUT);
	case 0x8d: /* HWPT_INVALIDATE */
		return got < 28 ? 0 : one(found, u64_at(arg, 8), (uint64_t)u32_at(arg, 20) * u32_at(arg, 24), DIR_IN);
	case 0x90: /* VIOMMU_ALLOC */
		return got < 40 || (u32_at(arg, 24) == 0 && u64_at(arg, 32) == 0) ? 0 :
			one(found, u64_at(arg, 32), u32_at(arg, 24), DIR_IN | DIR_OUT);
	case 0xa0:
		return got < 16 ? 0 : find_test_buffers(arg, got, found);
	default:
		return 0;
	}
}

/* VFIO_DEVICE_FEATURE: the feature in the low 16 bits of flags, 1 << 17 is SET, 1 << 16 GET. */
static unsigned find_feature_buffers(const unsigned char *arg, size_t got, struct buffer *found)
{
	switch (u32_at(arg, 4) & 0xffff) {
	case 6: /* DMA_LOGGING_START: page_size, num_ranges, ranges: pairs of iova and length */
		return got < 32 ? 0 : one(found, u64_at(arg, 24), (uint64_t)u32_at(arg, 16) * 16, DIR_IN);
	case 8: /* DMA_LOGGING_REPORT: iova, length, page_size, bitmap */
		return got < 40 ? 0 :
			one(found, u64_at(arg, 32), bitmap_bytes(u64_at(arg, 16), u64_at(arg, 24), 64), DIR_IN | DIR_OUT);
	default:
		return 0;
	}
}

unsigned find_buffers(uint32_t kind, uint32_t cmd, const unsigned char *arg, size_t got, struct buffer *found)
{
	uint32_t nr = NR(cmd);

	if (TYPE_AND_SIZE(cmd) != VFIO_TYPE)
		return 0;
	if (is_iommufd(kind, nr))
		return find_iommufd_buffers(nr, arg, got, found);
	if (kind == KIND_DEVICE) {
		if (nr == 0x75 && got >= 8)
			return find_feature_buffers(arg, got, found);
		if (nr == 0x76 && got >= 24 && (u32_at(arg, 4) & 1)) /* BIND_IOMMUFD with a token */
			return one(found, u64_at(arg, 16), 16, DIR_IN);
		return 0;
	}
	if (kind != KIND_CONTAINER && kind != KIND_IOMMUFD)
		return 0;
	if (nr == 0x72 && got >= 48 && (u32_at(arg, 4) & 1)) /* UNMAP_DMA with a bitmap */
		return one(found, u64_at(arg, 40), u64_at(arg, 32), DIR_IN | DIR_OUT);
	if (nr == 0x75 && got >= 48 && (u32_at(arg, 4) & 4)) /* DIRTY_PAGES, GET_BITMAP */
		return one(found, u64_at(arg, 40), u64_at(arg, 32), DIR_IN | DIR_OUT);
	return 0;
}
