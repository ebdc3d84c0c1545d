/**
 * The three name spaces of the proposals, kept apart by type: a number of one is never compared with a number
 * of another, and only the functions here and the tables that translate make one.
 */

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Handle of an I/O address space: local to one descriptor, the index of its xarray, never on the wire. */
export type IoasId = Branded<'IoasId'>;
/** The number on the wire: a PCI PASID, or what an Arm SMMU calls a substream id. */
export type HostPasid = Branded<'HostPasid'>;
/** The number that the guest uses: unique per set (V4), per device (May and July 2021). */
export type GuestPasid = Branded<'GuestPasid'>;

export const ioasId = (value: number): IoasId => value as IoasId;
export const hostPasid = (value: number): HostPasid => value as HostPasid;
export const guestPasid = (value: number): GuestPasid => value as GuestPasid;

/** `INVALID_IOASID`: what the allocation core answers instead of an errno. */
export const INVALID_IOASID = 0xffff_ffff;
/** PCIe gives a PASID 20 bits. */
export const PASID_COUNT = 0x10_0000;
/** RID-to-PASID: requests without a PASID use it, so that nobody is ever given it. */
export const RESERVED_PASID = 0;

/** Nature of the number on the wire: the enum that the look-up of IOASID_HW_ID was to return. */
export type HwIdKind = 'pasid' | 'substream-id' | 'other';

/** What tags the DMA of an address space, with the enum that qualifies it. */
export interface HwId {
  readonly kind: HwIdKind;
  readonly value: HostPasid;
}
