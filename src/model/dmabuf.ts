import { IOMMU_TEST_CMD, IOMMU_TEST_OP, unionOffsetsOf } from '../uapi/index.ts';
import { firstArea, NONE, nextArea } from './area-table.ts';
import { installDescriptor } from './descriptors.ts';
import { resizeFile } from './file-memory.ts';
import type { Kernel } from './kernel.ts';
import { FROM_DMABUF, REVOKED_DMABUF } from './pages-table.ts';
import { type Refusal, reason } from './reason.ts';
import type { Dmabuf, Process } from './state.ts';
import { u32 } from './user-call.ts';
import { createSpace } from './user-memory.ts';

/** dma-bufs of the selftest, made, mapped and revoked: selftest.c and pages.c of iommufd. */

const GET = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DMABUF_GET);
const REVOKE = unionOffsetsOf(IOMMU_TEST_CMD, IOMMU_TEST_OP.DMABUF_REVOKE);
const MOST_PAGES = 512;

const LENGTH = reason(
  'dmabuf-length',
  'EINVAL',
  'selftest.c iommufd_test_dmabuf_get',
  'the length of the dma-buf is zero or more than 512 pages',
);
const NOT_OPEN = reason('dmabuf-not-open', 'EBADF', 'dma-buf.c dma_buf_get', 'the descriptor is not open');
const NOT_A_DMABUF = reason(
  'not-a-dmabuf',
  'EINVAL',
  'dma-buf.c dma_buf_get',
  'the descriptor belongs to something else than a dma-buf',
);
const RANGE_OUTSIDE = reason(
  'dmabuf-range-outside',
  'EINVAL',
  'pages.c iopt_alloc_dmabuf_pages',
  'start + length reaches past the end of the dma-buf',
);
const REVOKED = reason(
  'dmabuf-revoked',
  'ENODEV',
  'selftest.c iommufd_test_dma_buf_iommufd_map',
  'the exporter has revoked the dma-buf',
);

/** The dma-buf behind a descriptor, or undefined. */
export function dmabufOf(kernel: Kernel, process: Process, fd: number): Dmabuf | undefined {
  return kernel.state.dmabufs[process.descriptors[fd] ?? 0];
}

/** DMABUF_GET: installs the descriptor, whose number 7.3-rc7 does not answer. */
export function getDmabuf(kernel: Kernel): Refusal {
  const { call } = kernel;
  const { pageBytes } = kernel.profile;
  const bytes = Math.ceil(u32(call, GET.length) / pageBytes) * pageBytes;
  if (bytes === 0 || bytes > MOST_PAGES * pageBytes) return LENGTH;
  const { memory } = kernel;
  const object = memory.nextObject;
  memory.nextObject += 1;
  const mm = createSpace(memory, true);
  resizeFile(memory, { object, mm, huge: false }, bytes);
  const fd = installDescriptor(kernel, call.pid, 'dmabuf', 0, 0);
  const file = kernel.state.processes[call.pid]!.descriptors[fd]!;
  kernel.state.dmabufs[file] = { mm, bytes, revoked: false };
  if (!kernel.profile.has.dmabufGetHidesFd) call.ret = fd;
  return null;
}

/** What `iopt_alloc_dmabuf_pages` refuses about a range, which does not wrap. */
export function refuseDmabufRange(
  { bytes }: Dmabuf,
  start: { page: number; offset: number },
  lengthPage: number,
  lengthOffset: number,
): Refusal {
  // Exact below 2^53; what is above is longer than any dma-buf.
  const end = (start.page + lengthPage) * 4096 + start.offset + lengthOffset;
  return end > bytes ? RANGE_OUTSIDE : null;
}

export function refuseRevoked({ revoked }: Dmabuf): Refusal {
  return revoked ? REVOKED : null;
}

/** DMABUF_REVOKE: allowed again or not, whatever is mapped of it goes from the page tables. */
export function revokeDmabuf(kernel: Kernel): Refusal {
  const { call } = kernel;
  const process = kernel.state.processes[call.pid]!;
  const fd = call.view.getInt32(REVOKE.dmabuf_fd, true);
  const isStandard = fd >= 0 && fd <= 2;
  if (process.descriptors[fd] === undefined && !isStandard) return NOT_OPEN;
  const dmabuf = dmabufOf(kernel, process, fd);
  if (dmabuf === undefined) return NOT_A_DMABUF;
  dmabuf.revoked = u32(call, REVOKE.revoked) !== 0;
  const { mm, source } = kernel.pages;
  for (const { areas } of kernel.spaces.values()) {
    for (let slot = firstArea(areas); slot !== NONE; slot = nextArea(areas, slot)) {
      const pages = areas.pages[slot]!;
      if (source[pages] === FROM_DMABUF && mm[pages] === dmabuf.mm) source[pages] = REVOKED_DMABUF;
    }
  }
  return null;
}
