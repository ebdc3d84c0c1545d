import type { Kernel } from '../../../src/model/index.ts';

/**
 * Doorbells of interrupts, which an SMMUv3 translates like any other address. When a device of a user gets
 * its first MSI, and again when its group gets another domain, the kernel maps the page of the interrupt
 * controller into a window that it keeps for this (`iommufd_sw_msi_install`, `iommu_dma_get_msi_page` before
 * 6.15). It is no doing of a call about memory, and which interrupts a device has, no trace tells.
 */

/** MSI_IOVA_BASE and MSI_IOVA_LENGTH of arm-smmu-v3, where the trace tells of no window. */
const USUAL = [0x8000, 0x80ff] as const;

/** Whether a page lies in such a window; users can not map there. */
export function doorbellsOf({ machine }: Kernel): (page: number) => boolean {
  const devices = machine.devices.filter(({ iommu }) => iommu.driver === 'smmuv3');
  if (devices.length === 0) return () => false;
  const told = devices.flatMap(({ reserved }) =>
    reserved.flatMap(({ kind, startPage, lastPage }) =>
      kind.includes('msi') ? [[startPage, lastPage] as const] : [],
    ),
  );
  const windows = told.length > 0 ? told : [USUAL];
  return (page) => windows.some(([first, last]) => page >= first && page <= last);
}
