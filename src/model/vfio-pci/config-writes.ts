import type { PciDevice } from './device.ts';
import type { MsixTable, PciFacts } from './facts.ts';

/** Config space as far as it decides what a transfer to a BAR answers. */

const COMMAND = 4;
const COMMAND_MEMORY = 2;
const CAPABILITIES_AT = 0x34;
const FIRST_CAPABILITY = 0x40;
const POWER_MANAGEMENT = 1;
const MSIX = 0x11;
const MSIX_BYTES = 12;
const MSIX_ENTRIES_MASK = 0x7ff;
const MSIX_BAR_MASK = 7;
const MSIX_ENTRY_BYTES = 16;
/** The control register lies behind the capability's header. */
const POWER_CONTROL = 4;
const D3_HOT = 3;
/** Of the first 256 bytes, where capabilities live. */
export const CAPABILITY_SPACE_BYTES = 256;

/** Follows the memory bit and the power state through a write of config space. */
export function noteConfigWrite(
  { facts, open }: PciDevice,
  at: number,
  length: number,
  data: Uint8Array | null,
): void {
  const byteAt = (offset: number): number | null => (data === null ? null : (data[offset - at] ?? null));
  if (at <= COMMAND && COMMAND < at + length) {
    const command = byteAt(COMMAND);
    open.memory = command !== null && (command & COMMAND_MEMORY) !== 0;
  }
  if (facts.powerAt !== null) {
    if (facts.powerAt === 0 || at > facts.powerAt || facts.powerAt >= at + length) return;
    const state = byteAt(facts.powerAt);
    open.asleep = state === null || (state & D3_HOT) === D3_HOT;
    return;
  }
  // The register lies somewhere at a multiple of four.
  const first = Math.max(FIRST_CAPABILITY, Math.ceil(at / 4) * 4);
  for (let offset = first; offset < Math.min(at + length, CAPABILITY_SPACE_BYTES); offset += 4) {
    const state = byteAt(offset);
    if (state === null || (state & D3_HOT) === D3_HOT) open.asleep = true;
  }
}

/** Finds the power control register in the first bytes of config space; 0 when there is none. */
export function powerRegisterIn(config: Uint8Array): NonNullable<PciFacts['powerAt']> {
  const at = capabilityIn(config, POWER_MANAGEMENT);
  return at === null ? 0 : at + POWER_CONTROL;
}

/** Finds the MSI-X table; null when there is none. */
export function msixTableIn(config: Uint8Array): MsixTable | null {
  const at = capabilityIn(config, MSIX);
  if (at === null || at + MSIX_BYTES > config.length) return null;
  const view = new DataView(config.buffer, config.byteOffset, config.length);
  const place = view.getUint32(at + 4, true);
  const entries = (view.getUint16(at + 2, true) & MSIX_ENTRIES_MASK) + 1;
  return {
    bar: place & MSIX_BAR_MASK,
    at: place - (place & MSIX_BAR_MASK),
    bytes: entries * MSIX_ENTRY_BYTES,
  };
}

/** Offset of the first capability of a kind. */
function capabilityIn(config: Uint8Array, kind: number): number | null {
  let at = (config[CAPABILITIES_AT] ?? 0) & ~3;
  // A chain is never longer than the space has room for.
  for (let left = CAPABILITY_SPACE_BYTES / 4; at >= FIRST_CAPABILITY && left > 0; left -= 1) {
    if (config[at] === kind) return at;
    at = (config[at + 1] ?? 0) & ~3;
  }
  return null;
}
