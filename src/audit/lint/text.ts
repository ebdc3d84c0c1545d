import type { IovaSpace } from '../../model/index.ts';

/** Addresses, ranges and objects in the words of a message. */

const LABELS: Readonly<Record<string, string>> = {
  ioas: 'IOAS',
  'hwpt-paging': 'HWPT',
  'hwpt-nested': 'nested HWPT',
  device: 'device',
  access: 'access object',
  fault: 'fault queue',
  selftest: 'selftest object',
  viommu: 'vIOMMU',
  vdevice: 'vDEVICE',
  veventq: 'vEVENTQ',
  'hw-queue': 'HW queue',
};

/** `IOAS 2`. */
export function label(type: string, id: number): string {
  return `${LABELS[type] ?? type} ${id}`;
}

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** An address of page number and offset. */
export function address(page: number, offset = 0): bigint {
  return BigInt(page) * 4096n + BigInt(offset);
}

/** `0x1000-0x1fff`; the last address is inclusive. */
export function span(first: bigint, last: bigint): string {
  return `${hex(first)}-${hex(last)}`;
}

/** The range of `length` bytes at `first`. */
export function spanOf(first: bigint, length: bigint): string {
  return length === 0n ? `${hex(first)} (no bytes)` : span(first, BigInt.asUintN(64, first + length - 1n));
}

/** The addresses of an area. */
export function areaSpan({ areas }: IovaSpace, slot: number): string {
  return span(
    address(areas.startPage[slot]!, areas.startOffset[slot]!),
    address(areas.lastPage[slot]!, areas.lastOffset[slot]!),
  );
}

/** `its RID`, `PASID 5`. */
export function slotName(pasid: number): string {
  return pasid === 0 ? 'its RID' : `PASID ${pasid}`;
}

/** `3 areas`, `1 area`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** The first few of many, joined. */
export function listed(items: readonly string[], most = 6): string {
  const hidden = items.length - most;
  return hidden > 0 ? `${items.slice(0, most).join(', ')} and ${hidden} more` : items.join(', ');
}

/** Lines of prose as one line. */
export function text(...lines: readonly string[]): string {
  return lines.join(' ');
}
