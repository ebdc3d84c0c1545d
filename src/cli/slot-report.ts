import type { DeviceSlot } from '../../replay/index.ts';

/** What a device, or one of its PASIDs, translates by, for people and for programs. */

const SAYS = {
  blocked: 'blocked: every access faults',
  kernel: "a domain of the kernel's own (identity or DMA), which no trace tells",
  paging: 'paging',
  nested: 'nested',
} as const;

/** `0000:00:02.0 (vfio0 of dmar0): paging, domain 3`. */
export function slotLine({ bdf, path, iommu, pasid, state, written }: DeviceSlot): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const who = `${bdf}${pasid === 0 ? '' : ` PASID ${pasid}`} (${name} of ${iommu})`;
  const by =
    state.kind === 'nested'
      ? `, HWPT ${state.hwpt} over domain ${state.domain}`
      : state.kind === 'paging'
        ? `, domain ${state.domain}`
        : '';
  const open =
    written === false
      ? '; not written: the device has no PASIDs'
      : written === null
        ? '; whether the device has PASIDs is not known'
        : '';
  return `${who}: ${SAYS[state.kind]}${by}${open}`;
}

/** `domain` is the key that the tables have; `written` is null where nothing tells it. */
export function jsonOfSlot({ bdf, path, iommu, pasid, state, written }: DeviceSlot): object {
  const domain = state.kind === 'paging' || state.kind === 'nested' ? state.domain : null;
  const hwpt = state.kind === 'nested' ? state.hwpt : null;
  return { bdf, path, iommu, pasid, state: state.kind, domain, nestedHwpt: hwpt, written };
}
