import { offsetsOf, VFIO_DEVICE_FLAGS, VFIO_DEVICE_GET_INFO } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { setU32 } from '../user-call.ts';
import { bytesOfHex, copyPciStruct, type PciDevice, unknownFact } from './device.ts';
import { IRQ_INDEXES } from './facts.ts';

/** VFIO_DEVICE_GET_INFO: vfio_pci_ioctl_get_info. */

const INFO = offsetsOf(VFIO_DEVICE_GET_INFO);
const LEAST_BYTES = VFIO_DEVICE_GET_INFO.minBytes;
const FULL_BYTES = VFIO_DEVICE_GET_INFO.sizeBytes;

export function getDeviceInfo(kernel: Kernel, { facts }: PciDevice): Answer {
  const { call } = kernel;
  const malformed = copyPciStruct(kernel, LEAST_BYTES);
  if (malformed !== null) return malformed;
  const argsz = call.userSize;
  call.struct.fill(0, LEAST_BYTES, FULL_BYTES);
  setU32(call, INFO.num_irqs, IRQ_INDEXES);
  let flags = VFIO_DEVICE_FLAGS.PCI | (facts.resets === true ? VFIO_DEVICE_FLAGS.RESET : 0);
  const { caps, regionsAtLeast, regionsAtMost } = facts;
  if (facts.resets === null || caps === null) unknownFact(kernel, 'flags', INFO.flags, 4);
  if (regionsAtLeast !== regionsAtMost) unknownFact(kernel, 'num_regions', INFO.num_regions, 4);
  setU32(call, INFO.num_regions, regionsAtLeast);
  if (caps === null) {
    unknownFact(kernel, 'argsz', INFO.argsz, 4);
    if (argsz > LEAST_BYTES) unknownFact(kernel, 'cap_offset', INFO.cap_offset, 4);
    if (argsz > FULL_BYTES) unknownFact(kernel, 'caps', FULL_BYTES, argsz - FULL_BYTES);
  } else if (caps.bytes > 0) {
    flags |= VFIO_DEVICE_FLAGS.CAPS;
    if (argsz < FULL_BYTES + caps.bytes) setU32(call, INFO.argsz, FULL_BYTES + caps.bytes);
    else {
      setU32(call, INFO.cap_offset, FULL_BYTES);
      if (caps.content === null) unknownFact(kernel, 'caps', FULL_BYTES, caps.bytes);
      else call.structWrites.push({ at: FULL_BYTES, bytes: bytesOfHex(caps.content) });
    }
  }
  setU32(call, INFO.flags, flags);
  call.respondFrom = 0;
  call.respondEnd = Math.min(argsz, FULL_BYTES);
  return null;
}
