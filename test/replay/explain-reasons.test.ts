import { describe, expect, test } from 'vitest';
import { applyCall, explainAt } from '../../replay/index.ts';
import type { Reason } from '../../src/model/index.ts';
import { runEach } from '../support/every-call.ts';

/**
 * Refused calls of real kernels, each with the reason that fits and the kernel function that checks, as read
 * in the sources of that kernel: 6.12.117 and 7.3-rc7.
 */
type Row = readonly [trace: string, seq: number, reason: string, kernelFunction: string];

const OF_6_12: readonly Row[] = [
  ['selftests/iommufd.cmd_fail', 56, 'object-not-found', 'iommufd_object_remove'],
  ['selftests/iommufd.cmd_fail', 57, 'struct-unreadable', 'iommufd_fops_ioctl'],
  ['selftests/iommufd.cmd_fail', 58, 'command-unknown', 'iommufd_vfio_ioctl'],
  ['selftests/iommufd.cmd_length', 56, 'struct-too-small', 'iommufd_fops_ioctl'],
  ['selftests/iommufd.cmd_length', 57, 'struct-tail-not-zero', 'copy_struct_from_user'],
  ['selftests/iommufd.cmd_length', 62, 'device-not-found', 'iommufd_get_object'],
  ['selftests/iommufd.cmd_length', 70, 'hwpt-not-found', 'iommufd_get_object'],
  ['selftests/iommufd.cmd_length', 78, 'ioas-not-found', 'iommufd_get_object'],
  ['selftests/iommufd.cmd_length', 86, 'no-permission-asked', 'iommufd_ioas_map'],
  ['selftests/iommufd.cmd_length', 90, 'no-permission-asked', 'iommufd_ioas_copy'],
  ['selftests/iommufd.cmd_length', 98, 'context-not-empty', 'iommufd_option_rlimit_mode'],
  ['selftests/iommufd.cmd_length', 102, 'no-compat-ioas', 'get_compat_ioas'],
  ['selftests/iommufd.global_options', 58, 'option-value', 'iommufd_option_rlimit_mode'],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    60,
    'hwpt-parent-of-wrong-type',
    'iommufd_hwpt_alloc',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    61,
    'hwpt-flags-unsupported',
    'iommufd_hwpt_paging_alloc',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    64,
    'driver-data-type-and-length-disagree',
    'iommufd_hwpt_alloc',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    66,
    'nested-data-length',
    'iommu_copy_struct_from_user',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    68,
    'nested-flags-or-no-data',
    'iommufd_hwpt_nested_alloc',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    69,
    'not-a-nest-parent',
    'iommufd_hwpt_nested_alloc',
  ],
  ['selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested', 73, 'fault-queue-not-found', 'iommufd_hwpt_alloc'],
  ['selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested', 84, 'object-in-use', 'iommufd_object_remove'],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    87,
    'invalidate-type-unknown',
    'cache_invalidate_user',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    88,
    'invalidate-entry-length',
    'iommu_copy_struct_from_user_array',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    91,
    'invalidate-array-malformed',
    'iommufd_hwpt_invalidate',
  ],
  [
    'selftests/iommufd_dirty_tracking.domain_dirty128M.enforce_dirty',
    61,
    'domain-incompatible',
    'mock_domain_nop_attach',
  ],
  [
    'selftests/iommufd_dirty_tracking.domain_dirty128M.enforce_dirty',
    66,
    'dirty-tracking-not-capable',
    'iommufd_hwpt_paging_alloc',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.iova_ranges',
    60,
    'iova-ranges-buffer-too-short',
    'iommufd_ioas_iova_ranges',
  ],
  ['selftests/iommufd_ioas.mock_domain.area', 59, 'nothing-mapped', 'iommufd_ioas_unmap'],
  ['selftests/iommufd_ioas.mock_domain.area', 90, 'area-not-contained', 'iopt_unmap_iova_range'],
  ['selftests/iommufd_ioas.mock_domain.area', 92, 'iova-already-mapped', 'iopt_check_iova'],
  ['selftests/iommufd_ioas.mock_domain.area_allowed', 60, 'range-in-use', 'iopt_reserve_iova'],
  ['selftests/iommufd_ioas.mock_domain.copy_sweep', 61, 'copy-source-not-mapped', 'iopt_get_pages'],
  ['selftests/iommufd_ioas.mock_domain.ioas_iova_alloc', 59, 'length-misaligned', 'iopt_alloc_area_pages'],
  ['selftests/iommufd_ioas.no_domain.ioas_align_change', 60, 'user-offset-misaligned', 'iopt_insert_area'],
  ['selftests/iommufd_ioas.no_domain.ioas_align_change', 64, 'areas-misaligned', 'iopt_check_iova_alignment'],
  [
    'selftests/iommufd_ioas.mock_domain.access_pin_unmap',
    63,
    'access-pages-not-found',
    'iommufd_test_access_item_destroy',
  ],
  ['selftests/iommufd_mock_domain.one_domain.basic', 62, 'user-memory-not-pinnable', 'pfn_reader_user_pin'],
  [
    'selftests/iommufd_mock_domain.one_domain.replace',
    60,
    'attach-target-not-found',
    'iommufd_device_change_pt',
  ],
  ['selftests/vfio_compat_mock_domain.Ver1v2.map', 64, 'vfio-unmap-all-with-range', 'iommufd_vfio_unmap_dma'],
  ['oracle/access', 18, 'attach-target-of-wrong-type', 'iommufd_device_change_pt'],
  ['oracle/access', 24, 'iova-misaligned', 'iopt_check_iova'],
  ['oracle/access', 62, 'pin-not-page-aligned', 'iopt_area_contig_is_aligned'],
  ['oracle/access', 98, 'area-permission-missing', 'check_area_prot'],
  ['oracle/access', 99, 'hole-in-range', 'iommufd_access_pin_pages'],
  ['oracle/access', 240, 'access-too-long', 'iommufd_test_access_pages'],
  ['oracle/access', 245, 'not-an-access-descriptor', 'iommufd_access_get'],
  ['oracle/access', 268, 'access-range-wraps', 'iommufd_access_rw'],
  ['oracle/access', 315, 'access-pages-differ', 'iommufd_test_check_pages'],
  ['oracle/contexts', 55, 'option-unknown', 'iommufd_option'],
  ['oracle/extremes', 9, 'length-half-of-space', 'iopt_alloc_iova'],
  ['oracle/extremes', 15, 'allowed-range-not-ascending', 'iommufd_ioas_load_iovas'],
  ['oracle/extremes', 17, 'iova-range-wraps', 'iopt_unmap_iova'],
  ['oracle/extremes', 73, 'address-or-length-too-high', 'iommufd_ioas_map'],
  ['oracle/extremes', 76, 'iova-wraps', 'iopt_check_iova'],
  ['oracle/extremes', 80, 'user-address-wraps', 'iopt_alloc_pages'],
  ['oracle/extremes', 295, 'iova-in-reserved-range', 'iopt_check_iova'],
  ['oracle/extremes', 398, 'reserved-range-empty', 'iommufd_test_add_reserved'],
  ['oracle/faults', 45, 'fault-count-not-whole-records', 'iommufd_fault_fops_read'],
  ['oracle/faults', 64, 'fault-group-does-not-fit', 'iommufd_fault_fops_read'],
  ['oracle/faults', 97, 'fault-response-code-unknown', 'iommufd_fault_fops_write'],
  ['oracle/faults', 48, 'fault-cookie-unknown', 'iommufd_fault_fops_write'],
  ['oracle/hwpts', 882, 'check-iotlb-differs', 'iommufd_test_md_check_iotlb'],
  ['oracle/hwpts', 774, 'hwpt-parent-not-found', 'iommufd_hwpt_alloc'],
  ['oracle/hwpts', 1408, 'mock-device-flags', 'mock_dev_create'],
  ['oracle/memory', 29, 'pages-mapped-read-only', 'iopt_insert_area'],
  ['oracle/memory', 220, 'check-map-differs', 'iommufd_test_md_check_pa'],
  ['oracle/structs', 1132, 'command-unknown', 'iommufd_fops_ioctl'],
  ['oracle/vfio-compat', 137, 'vfio-iommu-type-unsupported', 'iommufd_vfio_set_iommu'],
  ['oracle/vfio-compat', 620, 'split-misaligned', 'iopt_area_split'],
  ['oracle/vfio-compat', 631, 'split-area-pinned', 'iopt_area_split'],
  ['oracle/vfio-compat', 895, 'large-pages-in-use', 'iopt_disable_large_pages'],
];

const OF_7_3: readonly Row[] = [
  [
    'selftests/change_process.account_mm.basic',
    80,
    'change-process-needs-files',
    'iommufd_ioas_change_process',
  ],
  ['selftests/iommufd.cmd_length', 125, 'no-permission-asked', 'iommufd_ioas_map'],
  ['selftests/iommufd.cmd_length', 133, 'viommu-not-found', 'iommufd_get_object'],
  [
    'selftests/iommufd_device_pasid.has_pasid.pasid_attach',
    87,
    'hwpt-not-pasid-compatible',
    'iommufd_hwpt_pasid_compat',
  ],
  [
    'selftests/iommufd_device_pasid.has_pasid.pasid_attach',
    99,
    'device-already-attached',
    'iommufd_hw_pagetable_attach',
  ],
  [
    'selftests/iommufd_device_pasid.has_pasid.pasid_attach',
    106,
    'replace-not-attached',
    'iommufd_device_do_replace',
  ],
  [
    'selftests/iommufd_device_pasid.has_pasid.pasid_attach',
    118,
    'mock-pasid-fails',
    'mock_domain_set_dev_pasid_nop',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    85,
    'nest-parent-with-faults',
    'iommufd_hwpt_paging_alloc',
  ],
  [
    'selftests/iommufd_ioas.mock_domain.alloc_hwpt_nested',
    109,
    'invalidate-target-of-wrong-type',
    'iommufd_hwpt_invalidate',
  ],
  ['selftests/iommufd_ioas.mock_domain.get_hw_info', 85, 'hw-info-type-unsupported', 'mock_domain_hw_info'],
  ['selftests/iommufd_ioas.mock_domain.reserved_overflow', 84, 'no-iova-space', 'iopt_alloc_iova'],
  ['selftests/iommufd_ioas.mock_domain.dmabuf_revoke', 84, 'file-not-pinnable', 'memfd_pin_folios'],
  ['selftests/iommufd_ioas.no_domain.dmabuf_revoke', 79, 'not-a-dmabuf', 'dma_buf_get'],
  ['selftests/iommufd_ioas.no_domain.fork_gone', 81, 'user-memory-not-pinnable', 'pfn_reader_user_pin'],
  [
    'selftests/iommufd_viommu.mock_viommu.viommu_alloc_nested_iopf',
    85,
    'nested-without-vdevice',
    'iommufd_viommu_get_vdev_id',
  ],
  ['selftests/iommufd_viommu.mock_viommu.viommu_negative_tests', 81, 'hwpt-not-found', 'iommufd_get_object'],
  [
    'selftests/iommufd_viommu.mock_viommu.viommu_negative_tests',
    83,
    'viommu-needs-nest-parent',
    'iommufd_viommu_alloc_ioctl',
  ],
  [
    'selftests/iommufd_viommu.mock_viommu.viommu_negative_tests',
    85,
    'viommu-type-unsupported',
    'iommufd_viommu_alloc_ioctl',
  ],
  ['dmabuf/iommufd_ioas.mock_domain.dmabuf_simple', 85, 'dmabuf-range-outside', 'iopt_alloc_dmabuf_pages'],
  ['dmabuf/iommufd_ioas.mock_domain.dmabuf_revoke', 87, 'dmabuf-revoked', 'iommufd_test_dma_buf_iommufd_map'],
];

/** The reasons of the calls of one trace, by number. */
function reasonsOf(
  folder: string,
  name: string,
  seqs: ReadonlySet<number>,
): ReadonlyMap<number, Reason | null> {
  const reasons = new Map<number, Reason | null>();
  runEach({ folder, name }, (kernel, call) => {
    if (seqs.has(call.seq)) reasons.set(call.seq, explainAt(kernel, call).reason);
    else applyCall(kernel, call);
  });
  return reasons;
}

/** Whether a source names the function; `_copy` after `iommufd_ioas_map` stands for `iommufd_ioas_copy`. */
function namesFunction(source: string, name: string): boolean {
  let whole = '';
  return source.split(/[;, ]+/).some((part) => {
    if (!part.startsWith('_')) {
      whole = part;
      return part === name;
    }
    const words = whole.split('_');
    return words.some((_, count) => `${words.slice(0, count).join('_')}${part}` === name);
  });
}

describe.each([
  ['6.12', OF_6_12],
  ['7.3', OF_7_3],
] as const)('refusals of Linux %s', (release, rows) => {
  const traces = [...new Set(rows.map(([trace]) => trace))];

  test.each(traces)('in %s have the reason that the sources have', (trace) => {
    const [kind, name] = trace.split('/') as [string, string];
    const folder = kind === 'oracle' ? `oracle-${release}` : `linux-${release}-${kind}`;
    const wanted = rows.filter(([other]) => other === trace);
    const reasons = reasonsOf(folder, name, new Set(wanted.map(([, seq]) => seq)));
    for (const [, seq, id, kernelFunction] of wanted) {
      const reason = reasons.get(seq);
      expect({ seq, id: reason?.id }).toEqual({ seq, id });
      expect(
        `${reason?.source} names ${kernelFunction}: ${namesFunction(reason?.source ?? '', kernelFunction)}`,
      ).toMatch(/true$/);
    }
  });
});
