import { PROT_READ, PROT_WRITE } from '../area-table.ts';
import { reason } from '../reason.ts';
import { RID } from '../slots.ts';
import type { IommuDriver } from './driver.ts';
import { apertureOf, physicalOf } from './facts.ts';
import { NO_HW_INFO } from './hw-info.ts';
import { NO_NESTED_TABLES } from './no-nesting.ts';
import { NO_VIOMMU } from './no-viommu.ts';
import { pagingDomain } from './paging-domain.ts';
import { PASID_UNSUPPORTED } from './pasid.ts';

/** RISC-V IOMMU: riscv/iommu.c of Linux 7.3-rc7. Page tables without flags, and nothing else. */

const GIB = 2 ** 30;
/** 4 KiB, 64 KiB (Svnapot), 2 MiB, 1 GiB, 512 GiB, 256 TiB. */
const PAGE_SIZES = 4096 + 65536 + 2 ** 21 + GIB + 512 * GIB + 2 ** 48;

const WIDTH = reason(
  'riscv-mode-unsupported',
  'ENODEV',
  'riscv/iommu.c riscv_iommu_attach_paging_domain',
  'the IOMMU of the device does not support the mode of the page table',
);

export const RISCV: IommuDriver = {
  ...NO_VIOMMU,
  pasidLimit: () => 0,
  isDirtyCapable: () => false,
  enforcesCoherency: () => false,
  supportsAts: () => false,
  takesFlags: false,
  nestsOnParent: false,
  nestsOnViommu: false,
  refusePaging: () => null,
  makePaging(kernel, device) {
    const { iommu } = physicalOf(kernel, device);
    return pagingDomain(kernel, iommu, {
      pageSizes: iommu.pageSizes ?? PAGE_SIZES,
      aperture: apertureOf(kernel, iommu),
      dirtyOps: false,
      needsProt: PROT_READ | PROT_WRITE,
      format: iommu.tableFormat ?? '',
    });
  },
  makeNested: () => NO_NESTED_TABLES,
  refuseAttach(kernel, _context, device, pasid, hwpt) {
    if (pasid !== RID) return PASID_UNSUPPORTED;
    const { iommu } = physicalOf(kernel, device);
    const isOther = hwpt.type === 'hwpt-paging' && hwpt.domain.iommu !== iommu.name;
    return isOther && hwpt.domain.aperture.lastPage > apertureOf(kernel, iommu).lastPage ? WIDTH : null;
  },
  hwInfo: () => NO_HW_INFO,
  invalidateNested: null,
};
