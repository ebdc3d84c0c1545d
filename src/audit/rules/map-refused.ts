import { CMD, IOMMU_IOAS_MAP, offsetsOf, VFIO_IOMMU_MAP_DMA } from '../../uapi/index.ts';
import { argPage } from '../lint/lint-call.ts';
import type { LintWorld, Rule } from '../lint/rule.ts';
import { tellRefused } from '../lint/tell-refused.ts';
import { text } from '../lint/text.ts';

/** What is wrong with the request, whatever is mapped. */
const REQUESTS = [
  'address-or-length-too-high',
  'iova-misaligned',
  'iova-range-wraps',
  'iova-wraps',
  'length-half-of-space',
  'length-misaligned',
  'length-too-long',
  'length-zero',
  'no-permission-asked',
  'page-range-wraps',
  'type1-misaligned',
  'type1-permission-or-vaddr',
  'type1-range-overflow',
  'type1-range-wraps',
  'type1-size-zero',
  'type1v2-unmap-cuts',
  'user-address-wraps',
  'user-offset-misaligned',
  'user-va-misaligned',
] as const;

/** What is wrong with what it is about. */
const RANGES = [
  'area-locked',
  'copy-source-not-mapped',
  'no-iova-space',
  'pages-mapped-read-only',
  'type1-bisects-mapping',
  'type1-no-mapping-available',
  'type1v2-not-permitted-range',
] as const;

/** Memory that can not be pinned. */
const MEMORY = ['type1-memory-not-pinnable', 'user-memory-not-pinnable'] as const;
const USER_ADDRESS: Readonly<Record<number, number>> = {
  [CMD.IOMMU_IOAS_MAP]: offsetsOf(IOMMU_IOAS_MAP).user_va,
  [CMD.VFIO_IOMMU_MAP_DMA]: offsetsOf(VFIO_IOMMU_MAP_DMA).vaddr,
};

export const mapRefused: Rule = {
  id: 'map-refused',
  severity: 'warning',
  title: 'A map, copy or unmap is refused for what it asks',
  doc: {
    detects: text(
      'IOAS_MAP, _MAP_FILE, _COPY, _UNMAP, MAP_DMA and UNMAP_DMA that are refused for their arguments',
      '(no access, misaligned, wrapping, empty), because the source of a copy is not mapped, because a',
      'mapping would be cut, for lack of IOVAs, or because the memory can not be pinned: unmapped,',
      'protected, or gone. The BAR of a device, which VMMs offer for peers and which iommufd can not',
      'pin, is not told. Ranges that are mapped already or reserved have rules of their own.',
    ),
    why: text(
      'The device has no access to memory that the program believes mapped, or keeps access to memory',
      'that it believes unmapped.',
    ),
    fix: 'Check the answer of every map and unmap; what each refusal takes is in docs/errno-reasons.md.',
    falseAlarms: text(
      'Tests and random runs. The BAR of a device in a trace that does not have the mmap of its',
      'descriptor: then nobody can tell it from memory that is gone.',
    ),
    source: 'ioas.c, io_pagetable.c iopt_map_pages, vfio_iommu_type1.c; reference 1.3 and 2',
  },
  start: (world, report) => ({
    refused: {
      ...tellRefused(world, report, [...REQUESTS, ...RANGES]),
      ...tellRefused(world, (reported) => (isOfDevice(world) ? undefined : report(reported)), MEMORY),
    },
  }),
};

/** The memory is that of a mapped descriptor of a device. */
function isOfDevice({ kernel, call }: LintWorld): boolean {
  const at = USER_ADDRESS[call.cmd];
  const mm = kernel.state.processes[call.pid]?.mm;
  if (at === undefined) return false;
  const page = argPage(call, at);
  return kernel.state.windows.some(
    (window) => window.mm === mm && window.firstPage <= page && page <= window.lastPage,
  );
}
