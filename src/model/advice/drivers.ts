import type { AdviceTable } from './advice.ts';

/** Refusals of IOMMU drivers, and of what depends on which IOMMU a device is behind. */
export const DRIVER_ADVICE: AdviceTable = {
  'driver-without-flags': [
    'flags or data are given to an IOMMU driver that makes plain page tables only, such as RISC-V',
    'allocate without flags and data, or attach to the IOAS',
  ],
  'driver-without-nesting': [
    'SMMUv3 nests on a vIOMMU only and VT-d on a nest parent only; AMD and RISC-V do not nest in this kernel',
    'look at out_data_type of GET_HW_INFO, and name a vIOMMU or a nest parent as pt_id accordingly',
  ],
  'driver-data-type': [
    'the data is of another vendor than the IOMMU of the device',
    'give the data type that belongs to out_data_type of GET_HW_INFO',
  ],
  'invalidate-unsupported': [
    'the caches of a guest table or vIOMMU are to be invalidated, where the driver leaves nothing to do or wants the other id',
    'on VT-d name the nested page table, on SMMUv3 the vIOMMU',
  ],
  'no-page-requests': [
    'a page table with FAULT_ID_VALID is attached to a device without PRI or ATS, or behind a unit without page requests',
    'allocate the page table without FAULT_ID_VALID for this device',
  ],
  'nest-parent-read-only': [
    'a ROM or other read-only memory of the guest is mapped into an IOAS with a VT-d nest parent',
    'map it WRITEABLE as well, or leave it out',
  ],
  'viommu-of-other-iommu': [
    'the guest has one virtual IOMMU, and its devices are behind several real ones',
    'make a vIOMMU for each IOMMU of the host',
  ],
  'viommu-parent-of-other-iommu': [
    'the nest parent was allocated for a device behind another SMMU',
    'allocate a nest parent by a device of the same SMMU, on the same IOAS',
  ],
  'vtd-flags-unsupported': [
    'NEST_PARENT or DIRTY_TRACKING on a unit without them, often because scalable mode is off, or a flag or data that VT-d does not take',
    'look at the ECAP register in GET_HW_INFO, and switch scalable mode on by intel_iommu=sm_on',
  ],
  'vtd-nesting-unsupported': [
    'data of another type than VTD_S1, or the unit does not nest, often because scalable mode is off',
    'give struct iommu_hwpt_vtd_s1 as VTD_S1, and switch scalable mode on by intel_iommu=sm_on',
  ],
  'vtd-parent-not-second-stage': [
    'the parent was allocated for another IOMMU or as a first-stage table',
    'allocate the parent with NEST_PARENT by a device of a VT-d unit that nests',
  ],
  'vtd-domain-incompatible': [
    'a page table made for one unit is attached to a device of another one with fewer capabilities, such as graphics',
    'allocate a page table by this device, or attach to the IOAS, which makes one that fits',
  ],
  'vtd-pasid-unsupported': [
    'scalable mode is off, or the unit has no PASIDs',
    'switch scalable mode on by intel_iommu=sm_on, or attach without PASID',
  ],
  'vtd-nested-address-width': [
    'addr_width was left at 0, or is 57 on a unit with four levels',
    'set addr_width to 48',
  ],
  'vtd-nested-supervisor': [
    'SRE or EAFE is passed on from a guest whose virtual unit offers more than the real one',
    'show the guest only ECAP bits that GET_HW_INFO has',
  ],
  'vtd-invalidate-flags': [
    'a flag other than LEAF, or an entry that was not cleared',
    'clear the entry and set LEAF at most; entries before this one are done, see entry_num',
  ],
  'vtd-invalidate-range': [
    'the address is not cut to its page, or npages of 2^64-1 comes with an address',
    'align addr to 4 KiB, and leave it at 0 to invalidate everything; entries before this one are done, see entry_num',
  ],
  'amd-flags-unsupported': [
    'PASID together with another flag, or DIRTY_TRACKING or NEST_PARENT on an IOMMU without them',
    'ask for one of PASID and DIRTY_TRACKING, and only for what the extended features of GET_HW_INFO have',
  ],
  'amd-domain-incompatible': [
    'a page table with dirty tracking is attached to a device behind an older IOMMU',
    'use a page table without DIRTY_TRACKING for this device',
  ],
  'riscv-mode-unsupported': [
    'a page table made for one IOMMU is attached behind another one with fewer levels',
    'allocate a page table by this device',
  ],
  'smmuv3-flags-unsupported': [
    'NEST_PARENT together with another flag, or without both stages, or PASID or DIRTY_TRACKING without stage 1',
    'give NEST_PARENT alone, and only where IDR0 of GET_HW_INFO has S1P and S2P',
  ],
  'smmuv3-nested-flags': [
    'PASID is given for a nested page table',
    'allocate nested page tables of SMMUv3 without PASID',
  ],
  'smmuv3-bad-ste': [
    'the entry of the guest is passed on unmasked, or asks for stage 2 or for ATS of one stage',
    'pass on V, Config, S1Fmt, S1ContextPtr, S1CDMax, S1DSS, S1CIR, S1COR, S1CSH, S1STALLD and EATS of 0 or 1 only',
  ],
  'smmuv3-other-instance': [
    'devices behind different SMMUs share a page table',
    'allocate a page table for each SMMU, or attach to the IOAS, which makes one',
  ],
  'smmuv3-substreams-in-use': [
    'the device is moved to a stage-2 or nested page table while PASIDs of it are attached',
    'detach the PASIDs first',
  ],
  'smmuv3-domain-incompatible': [
    'a page table that enforces coherency is attached to a device that is not coherent',
    'allocate a page table by this device',
  ],
  'smmuv3-pasid-needs-stage-1': [
    'a nest parent or a table of another SMMU is attached to a PASID',
    'allocate a page table with PASID by this device',
  ],
  'smmuv3-command-not-allowed': [
    'the whole command queue of the guest is passed on, with CMD_SYNC and commands of stage 2 in it',
    'pass on TLBI_NH_ALL, _ASID, _VA, _VAA, TLBI_NSNH_ALL, CFGI_CD, CFGI_CD_ALL and ATC_INV only; entries before this one are done',
  ],
  'smmuv3-stream-unknown': [
    'the guest names a stream that has no vDEVICE, or virt_id was set to something else than its stream id',
    'make a vDEVICE with the stream id of the guest as virt_id',
  ],
};
