import { offsetsOf, VFIO_DEVICE_GET_REGION_INFO, VFIO_REGION_INFO_FLAGS } from '../../uapi/index.ts';
import type { Answer, Kernel } from '../kernel.ts';
import { setU32, u32 } from '../user-call.ts';
import { bytesOfHex, copyPciStruct, type PciDevice, unknownFact } from './device.ts';
import { hasRegion, REGION, REGION_SHIFT, type RegionFacts } from './facts.ts';
import { BAD_REGION } from './reasons.ts';

/** VFIO_DEVICE_GET_REGION_INFO: vfio_pci_ioctl_get_region_info, since 7.x behind vfio_get_region_info. */

const INFO = offsetsOf(VFIO_DEVICE_GET_REGION_INFO);
const BYTES = VFIO_DEVICE_GET_REGION_INFO.sizeBytes;
const { READ, WRITE, CAPS } = VFIO_REGION_INFO_FLAGS;
const VGA_BYTES = 0xc0000;
/** Header of the one capability that a BAR can have: MSI-X table lies in it and may be mapped. */
const MSIX_MAPPABLE_BYTES = 8;
export const MSIX_MAPPABLE = '0300010000000000';

export function getRegionInfo(kernel: Kernel, { facts }: PciDevice): Answer {
  const { call } = kernel;
  const malformed = copyPciStruct(kernel, BYTES);
  if (malformed !== null) return malformed;
  const index = u32(call, INFO.index);
  const exists = index === REGION.VGA ? facts.vga : hasRegion(facts, index);
  if (exists === false) return BAD_REGION;
  if (exists === null) return 'not-modelled';
  call.view.setBigUint64(INFO.offset, BigInt(index) << REGION_SHIFT, true);
  call.respondFrom = 0;
  call.respondEnd = BYTES;
  if (index === REGION.VGA) {
    setRegion(kernel, { sizeBytes: VGA_BYTES, flags: READ | WRITE, caps: { bytes: 0, content: null } });
    return null;
  }
  const region = facts.regions[index];
  if (region !== undefined) setRegion(kernel, region);
  else setUnknownRegion(kernel, index);
  return null;
}

function setRegion(kernel: Kernel, { sizeBytes, flags, caps }: RegionFacts): void {
  const { call } = kernel;
  call.view.setBigUint64(INFO.size, BigInt(sizeBytes), true);
  setU32(call, INFO.flags, flags | (caps.bytes > 0 ? CAPS : 0));
  if (caps.bytes === 0) return;
  const fits = call.userSize >= BYTES + caps.bytes;
  if (!fits) setU32(call, INFO.argsz, BYTES + caps.bytes);
  setU32(call, INFO.cap_offset, fits ? BYTES : 0);
  if (!fits) return;
  if (caps.content === null) unknownFact(kernel, 'caps', BYTES, caps.bytes);
  else call.structWrites.push({ at: BYTES, bytes: bytesOfHex(caps.content) });
}

/** Only BARs and the driver's own regions have capabilities. */
function setUnknownRegion(kernel: Kernel, index: number): void {
  const { call } = kernel;
  call.view.setBigUint64(INFO.size, 0n, true);
  unknownFact(kernel, 'size', INFO.size, 8);
  if (index === REGION.CONFIG) {
    setU32(call, INFO.flags, READ | WRITE);
    return;
  }
  unknownFact(kernel, 'flags', INFO.flags, 4);
  if (index === REGION.ROM) return;
  const isBar = index <= REGION.BAR5;
  if (!isBar || call.userSize < BYTES + MSIX_MAPPABLE_BYTES) unknownFact(kernel, 'argsz', INFO.argsz, 4);
  unknownFact(kernel, 'cap_offset', INFO.cap_offset, 4);
  const room = call.userSize - BYTES;
  const most = isBar ? Math.min(room, MSIX_MAPPABLE_BYTES) : room;
  if (most > 0) unknownFact(kernel, 'caps', BYTES, most);
}
