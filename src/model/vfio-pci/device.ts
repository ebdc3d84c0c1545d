import type { Kernel } from '../kernel.ts';
import type { Refusal } from '../reason.ts';
import { copyVfioStruct } from '../vfio-compat.ts';
import type { PciFacts } from './facts.ts';
import type { PciOpenState } from './open-state.ts';
import { ARGSZ_TOO_SMALL, STRUCT_FAULT } from './reasons.ts';

const ARGSZ_BYTES = 4;

/** A device descriptor as vfio-pci sees it. What lies outside the driver is asked of the caller. */
export interface PciDevice {
  readonly facts: PciFacts;
  readonly open: PciOpenState;
  /** Opened as /dev/vfio/devices/vfioN, not through a group. */
  readonly openedByCdev: boolean;
  /** Bound to an iommufd, or got from a group: `access_granted`. */
  readonly granted: boolean;
  /** Id of its device object in the iommufd; null when it was got from a group. */
  readonly id: number | null;
  /** What a number names in the calling process, as far as records tell; null when they do not. */
  descriptorKind(fd: number): string | null;
  /** Number of the IOMMU group behind a group descriptor of the calling process. */
  groupOf(fd: number): number | null;
  /**
   * How the iommufd that this device is bound to holds the function at an address, for hot resets: its id
   * when it is bound there too; OWNED when it is not bound but a device of its group is; NOT_OWNED; null when
   * that is not known. `vfio_iommufd_get_dev_id`.
   */
  idOf(address: string): number | null;
}

/** VFIO_PCI_DEVID_OWNED and VFIO_PCI_DEVID_NOT_OWNED. */
export const OWNED = 0;
export const NOT_OWNED = -1;

/** Marks bytes of the reply as a fact that is not known. */
export function unknownFact(kernel: Kernel, name: string, at: number, bytes: number): void {
  kernel.call.unknown.push({ name, at, bytes, guess: null });
}

export function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

/**
 * Copies the fixed part of a struct in, and checks argsz. A recorder keeps argsz bytes of the struct, so that
 * fewer bytes than the driver reads do not mean that it could not read them.
 */
export function copyPciStruct(kernel: Kernel, bytes: number): Refusal {
  const { arg } = kernel.call;
  if (copyVfioStruct(kernel, bytes)) return kernel.call.userSize < bytes ? ARGSZ_TOO_SMALL : null;
  if (arg.length < ARGSZ_BYTES) return STRUCT_FAULT;
  const argsz = new DataView(arg.buffer, arg.byteOffset).getUint32(0, true);
  return argsz <= arg.length ? ARGSZ_TOO_SMALL : STRUCT_FAULT;
}
