import { reason } from '../reason.ts';

/** Drivers that make no nested page tables on what they are asked to nest on: hw_pagetable.c of iommufd. */

export const NO_NESTING = reason(
  'driver-without-nesting',
  'EOPNOTSUPP',
  'hw_pagetable.c iommufd_hwpt_nested_alloc, iommufd_viommu_alloc_hwpt_nested',
  'the IOMMU driver makes no nested page tables there: some need a vIOMMU, some have none at all',
);

export const NO_NESTED_TABLES = { refusal: NO_NESTING } as const;
