import type { ReadCall } from '../../trace/index.ts';
import {
  ERRNO,
  hexOf,
  offsetsOf,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_REGION_INFO_FLAGS,
} from '../../uapi/index.ts';
import { CAPABILITY_SPACE_BYTES, msixTableIn, powerRegisterIn } from './config-writes.ts';
import { type CapChain, FIXED_REGIONS, type PciFacts, REGION, REGION_SHIFT } from './facts.ts';
import { note } from './note-fact.ts';

/** Facts of regions, from GET_REGION_INFO and from reads of config space. */

const INFO = offsetsOf(VFIO_DEVICE_GET_REGION_INFO);
const BYTES = VFIO_DEVICE_GET_REGION_INFO.sizeBytes;
const { READ, WRITE, CAPS } = VFIO_REGION_INFO_FLAGS;
/** The capability of an MSI-X table that may be mapped has a header only; the others known have 16 bytes. */
const MSIX_MAPPABLE = 3;
const HEADER_BYTES = 8;
const OTHER_BYTES = 16;

export function learnRegion(facts: PciFacts, before: DataView, after: DataView, errno: number): number {
  const argsz = before.getUint32(INFO.argsz, true);
  const index = before.getUint32(INFO.index, true);
  if (argsz < BYTES) return 0;
  if (errno !== 0) return errno === ERRNO.EINVAL ? learnMissing(facts, index) : 0;
  if (index === REGION.VGA) return note(facts, 'vga', true);
  const flags = after.getUint32(INFO.flags, true);
  const caps = capsOf(
    argsz,
    after,
    BYTES,
    (flags & CAPS) !== 0,
    INFO.cap_offset,
    facts.regions[index]?.caps ?? null,
  );
  const learned = note(facts, 'regionsAtLeast', Math.max(facts.regionsAtLeast, index + 1));
  if (caps === null) return learned;
  const sizeBytes = Number(after.getBigUint64(INFO.size, true));
  return learned + note(facts.regions, String(index), { sizeBytes, flags: flags & ~CAPS, caps });
}

function learnMissing(facts: PciFacts, index: number): number {
  if (index === REGION.VGA) return note(facts, 'vga', false);
  if (index < FIXED_REGIONS) return 0;
  return note(facts, 'regionsAtMost', Math.min(facts.regionsAtMost ?? index, index));
}

/**
 * The capabilities in a reply whose struct has `structBytes`; null when the reply does not tell where they
 * end.
 */
export function capsOf(
  argsz: number,
  after: DataView,
  structBytes: number,
  has: boolean,
  offsetAt: number,
  earlier: CapChain | null,
): CapChain | null {
  if (!has) return { bytes: 0, content: null };
  const needed = after.getUint32(0, true);
  // Too little room: argsz comes back as what is needed.
  if (needed > argsz) {
    const bytes = needed - structBytes;
    return { bytes, content: earlier?.bytes === bytes ? earlier.content : null };
  }
  const bytes = endOfChain(after, after.getUint32(offsetAt, true)) - structBytes;
  if (bytes <= 0 || structBytes + bytes > after.byteLength) return null;
  const content = new Uint8Array(after.buffer, after.byteOffset + structBytes, bytes);
  return { bytes, content: hexOf(content) };
}

function endOfChain(reply: DataView, first: number): number {
  let at = first;
  for (;;) {
    if (at < HEADER_BYTES || at + HEADER_BYTES > reply.byteLength) return 0;
    const next = reply.getUint32(at + 4, true);
    if (next === 0) return at + (reply.getUint16(at, true) === MSIX_MAPPABLE ? HEADER_BYTES : OTHER_BYTES);
    // A chain goes forward; anything else is not the kernel's.
    if (next <= at) return 0;
    at = next;
  }
}

/** What a read of config space tells: that it reaches so far, and where the power state is. */
export function learnPciRead(facts: PciFacts, record: ReadCall, offset: bigint): number {
  const { out } = record;
  const region = Number(offset >> REGION_SHIFT);
  const at = Number(BigInt.asUintN(Number(REGION_SHIFT), offset));
  if (region === REGION.ROM && at === 0 && record.errno === ERRNO.EINVAL)
    return record.len > 0 ? note(facts, 'romAbsent', true) : 0;
  if (record.errno !== 0 || region !== REGION.CONFIG) return 0;
  let learned = 0;
  if (at + record.ret > CAPABILITY_SPACE_BYTES && facts.regions[REGION.CONFIG] === undefined) {
    const caps = { bytes: 0, content: null };
    const sizeBytes = 4096;
    learned += note(facts.regions, String(REGION.CONFIG), { sizeBytes, flags: READ | WRITE, caps });
  }
  if (at > 0 || !(out instanceof Uint8Array) || out.length < CAPABILITY_SPACE_BYTES) return learned;
  learned += note(facts, 'powerAt', powerRegisterIn(out));
  return learned + note(facts, 'msixTable', msixTableIn(out));
}
