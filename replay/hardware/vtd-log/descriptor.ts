/**
 * Invalidation descriptors (VT-d 6.5.2), as `vtd_inv_desc` of a log gives their low 128 bits. A descriptor
 * tells more than the event that QEMU prints after it, and is there where QEMU prints none.
 */

type Named<E, T> = E extends string ? { readonly event: E } & T : never;

interface OfDomain {
  readonly did: number;
}

interface OfPasid extends OfDomain {
  readonly pasid: number;
}

interface OfPages extends OfDomain {
  readonly page: number;
  /** Pages as a power of two. */
  readonly order: number;
  /** The hint that only leaves changed; null where only QEMU's own event is there. */
  readonly leafOnly: boolean | null;
}

/** What a descriptor says; the place in the log comes from the reader. */
export type Descriptor =
  | Named<'context-global' | 'iotlb-global' | 'pasid-global', unknown>
  | Named<'context-domain' | 'iotlb-domain' | 'pasid-domain', OfDomain>
  | Named<'context', OfContext>
  | Named<'iotlb-pages', OfPages>
  | Named<'piotlb-pages', OfPages & OfPasid>
  /** A PASID table entry, or all translations with a PASID. */
  | Named<'pasid' | 'piotlb', OfPasid>
  | Named<'device-tlb', OfDevice>;

interface OfContext {
  readonly sid: number;
  /** How many low bits of the function number do not matter. */
  readonly mask: number;
  /** Null where only QEMU's own event is there. */
  readonly did: number | null;
}

interface OfDevice {
  readonly sid: number;
  readonly pasid: number | null;
  readonly page: number;
  /** Pages as a power of two; 52 for all. */
  readonly order: number;
}

const TYPE = {
  context: 1,
  iotlb: 2,
  deviceTlb: 3,
  piotlb: 6,
  pasid: 7,
  devicePiotlb: 8,
} as const;

/** Null for what is no invalidation of a translation cache (waits, interrupt entries, page responses). */
export function decodeDescriptor(low: bigint, high: bigint): Descriptor | null {
  // Bits 3:0, and 11:9 above them.
  const type = Number((low & 0xfn) | ((low >> 5n) & 0x70n));
  const granularity = Number((low >> 4n) & 3n);
  const did = Number((low >> 16n) & 0xffffn);
  const pasid = Number((low >> 32n) & 0xf_ffffn);
  switch (type) {
    case TYPE.context: {
      if (granularity === 1) return { event: 'context-global' };
      if (granularity === 2) return { event: 'context-domain', did };
      return {
        event: 'context',
        sid: Number((low >> 32n) & 0xffffn),
        mask: Number((low >> 48n) & 3n),
        did,
      };
    }
    case TYPE.iotlb:
      if (granularity === 1) return { event: 'iotlb-global' };
      if (granularity === 2) return { event: 'iotlb-domain', did };
      return { event: 'iotlb-pages', did, ...pagesOf(high) };
    case TYPE.piotlb:
      if (granularity === 2) return { event: 'piotlb', did, pasid };
      return { event: 'piotlb-pages', did, pasid, ...pagesOf(high) };
    case TYPE.pasid:
      if (granularity === 3) return { event: 'pasid-global' };
      if (granularity === 0) return { event: 'pasid-domain', did };
      return { event: 'pasid', did, pasid };
    case TYPE.deviceTlb:
      return { event: 'device-tlb', sid: Number((low >> 32n) & 0xffffn), pasid: null, ...sizedPages(high) };
    case TYPE.devicePiotlb:
      return { event: 'device-tlb', sid: did, pasid, ...sizedPages(high, 11n) };
    default:
      return null;
  }
}

/** Address mask in bits 5:0, hint in bit 6. */
function pagesOf(high: bigint): { page: number; order: number; leafOnly: boolean } {
  return {
    page: Number(high >> 12n),
    order: Number(high & 0x3fn),
    leafOnly: ((high >> 6n) & 1n) === 1n,
  };
}

/** With the S bit the size is told by the lowest address bit that is 0 (PCIe ATS, invalidate request). */
function sizedPages(high: bigint, sizeBit = 0n): { page: number; order: number } {
  const address = high >> 12n;
  if (((high >> sizeBit) & 1n) === 0n) return { page: Number(address), order: 0 };
  let order = 1;
  while (order < 52 && ((address >> BigInt(order - 1)) & 1n) === 1n) order += 1;
  const page = order >= 52 ? 0n : (address >> BigInt(order)) << BigInt(order);
  return { page: Number(page), order };
}
