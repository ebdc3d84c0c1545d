const HEADER_BYTES = 8;
/** IOMMU_VEVENTQ_FLAG_LOST_EVENTS: a header alone. */
const LOST = 1;

/** Where an event names its device, by type of the vEVENTQ: SMMUv3 (StreamID), Tegra (nothing), selftest. */
const SHAPES: Readonly<Record<number, { readonly bytes: number; readonly idAt: number | null }>> = {
  1: { bytes: 32, idAt: 4 },
  2: { bytes: 16, idAt: null },
  3203383023: { bytes: 4, idAt: 0 },
};

/** What a read of a vEVENTQ returned. */
export interface VeventRead {
  /** Virtual ids of the devices that the events are about. */
  readonly ids: readonly number[];
  /** Number of the last event that was dropped; null when none was. */
  readonly lost: number | null;
}

/** Null for a type of events that nobody has described. */
export function readVevents(bytes: Uint8Array, type: number): VeventRead | null {
  const shape = SHAPES[type];
  if (shape === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ids: number[] = [];
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    if ((view.getUint32(at, true) & LOST) !== 0) return { ids, lost: view.getUint32(at + 4, true) };
    if (at + HEADER_BYTES + shape.bytes > bytes.length) break;
    if (shape.idAt !== null) ids.push(view.getUint32(at + HEADER_BYTES + shape.idAt, true));
    at += HEADER_BYTES + shape.bytes;
  }
  return { ids, lost: null };
}
