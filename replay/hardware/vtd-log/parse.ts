import { type Descriptor, decodeDescriptor } from './descriptor.ts';

/**
 * QEMU's trace events of its emulated VT-d (`-trace vtd_*`): what the unit was told, and what it did. Read
 * are those of QEMU 7.2 to 11; which of them are there depends on the release and on what was switched on.
 */

interface Logged {
  /** Place of the event in the log, from 0. */
  readonly at: number;
  /** Line of the file, from 1. */
  readonly line: number;
  /** Seconds of the clock of the machine that QEMU ran on; null without time stamps. */
  readonly seconds: number | null;
}

export type LoggedInvalidation = Logged & Descriptor;
type Only<E extends Descriptor['event']> = Extract<LoggedInvalidation, { readonly event: E }>;

/** A device's entry is forgotten. */
export type LoggedContext = Only<'context'>;

/** What is forgotten has a domain id: translations, or entries of PASIDs. */
export type LoggedFlush = Only<'iotlb-domain' | 'iotlb-pages' | 'piotlb' | 'piotlb-pages' | 'pasid'>;
export type LoggedDeviceFlush = Only<'device-tlb'>;

/** A translation that the unit put into its IOTLB, or found there. */
export interface LoggedTranslation extends Logged {
  readonly event: 'update' | 'hit';
  readonly sid: number;
  readonly did: number;
  readonly iova: bigint;
  /** The leaf, as the table has it. */
  readonly word: bigint;
  /** Bytes of the page as a power of two; 12 where no later event tells it. */
  shift: number;
}

export type VtdEvent = LoggedInvalidation | LoggedTranslation;

const LINE = /^(?:(\d+)@(\d+\.\d+):)?(vtd_[a-z_]+) ?(.*)$/;
const HEX = /0x([0-9a-f]+)/gi;

/** Null when the text has no event of a VT-d. */
export function parseVtdLog(text: string): VtdEvent[] | null {
  const events: VtdEvent[] = [];
  /** Place of the descriptor that the next event of a thread may tell again. */
  const told = new Map<string, number>();
  const last = new Map<string, LoggedTranslation>();
  let isLog = false;
  let line = 0;
  for (const text_ of lines(text)) {
    line += 1;
    const [, thread = '', stamp, name = '', rest = ''] = LINE.exec(text_) ?? [];
    if (name === '') continue;
    isLog = true;
    if (SKIPPED.has(name)) continue;
    const logged = { at: events.length, line, seconds: stamp === undefined ? null : Number(stamp) };
    const numbers = [...rest.matchAll(HEX)].map(([, digits]) => BigInt(`0x${digits}`));
    if (name === 'vtd_inv_desc') {
      const [high, low] = numbers.slice(-2);
      const descriptor = low === undefined || high === undefined ? null : decodeDescriptor(low, high);
      if (descriptor === null) continue;
      events.push({ ...logged, ...descriptor });
      told.set(thread, logged.at);
      continue;
    }
    if (name === 'vtd_dmar_translate') {
      const translation = last.get(thread);
      const mask = numbers.at(-1);
      if (translation !== undefined && mask !== undefined) translation.shift = mask.toString(2).length;
      last.delete(thread);
      continue;
    }
    if (isInvalidation(name)) {
      const event = invalidationOf(name, numbers);
      const place = told.get(thread);
      told.delete(thread);
      if (event === null) continue;
      if (place === undefined) events.push({ ...logged, ...event });
      else events[place] = merged(events[place] as LoggedInvalidation, event, line);
      continue;
    }
    told.delete(thread);
    const event = translationOf(name, numbers, logged);
    if (event === null) continue;
    events.push(event);
    last.set(thread, event);
  }
  return isLog ? events : null;
}

/** The frequent ones that tell nothing of caches. */
const SKIPPED: ReadonlySet<string> = new Set([
  ...['vtd_reg_read', 'vtd_reg_write', 'vtd_inv_qi_head', 'vtd_inv_qi_tail', 'vtd_inv_qi_fetch'],
  ...['vtd_inv_desc_wait_sw', 'vtd_inv_desc_cc_device', 'vtd_iotlb_cc_hit', 'vtd_iotlb_cc_update'],
]);

/** Lines without holding them all. */
function* lines(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    yield text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
  }
}

/** QEMU's own event, with what only the descriptor has. */
function merged(raw: LoggedInvalidation, own: Descriptor, line: number): LoggedInvalidation {
  const { at, seconds } = raw;
  if (own.event === 'context' && raw.event === 'context') return { ...own, did: raw.did, at, seconds, line };
  if (own.event === 'iotlb-pages' && raw.event === 'iotlb-pages')
    return { ...own, leafOnly: raw.leafOnly, at, seconds, line };
  if (own.event === 'piotlb-pages' && raw.event === 'piotlb-pages')
    return { ...own, leafOnly: raw.leafOnly, at, seconds, line };
  return { ...own, at, seconds, line };
}

function isInvalidation(name: string): boolean {
  return name.startsWith('vtd_inv_desc_') || name.startsWith('vtd_pasid_cache_');
}

/** From QEMU's own event of a descriptor, in a log without the descriptors. */
function invalidationOf(name: string, numbers: readonly bigint[]): Descriptor | null {
  const [first = 0, second = 0, third = 0, fourth = 0] = numbers.map(Number);
  switch (name.replace('vtd_pasid_cache_', 'vtd_inv_desc_pasid_cache_')) {
    case 'vtd_inv_desc_cc_global':
      return { event: 'context-global' };
    case 'vtd_inv_desc_cc_domain':
      return { event: 'context-domain', did: first };
    case 'vtd_inv_desc_cc_devices':
      return { event: 'context', sid: first, mask: second, did: null };
    case 'vtd_inv_desc_iotlb_global':
      return { event: 'iotlb-global' };
    case 'vtd_inv_desc_iotlb_domain':
      return { event: 'iotlb-domain', did: first };
    case 'vtd_inv_desc_iotlb_pages':
      return { event: 'iotlb-pages', did: first, page: pageOf(numbers[1]), order: third, leafOnly: null };
    case 'vtd_inv_desc_iotlb_pasid':
      return { event: 'piotlb', did: first, pasid: second };
    case 'vtd_inv_desc_iotlb_pasid_pages':
      return {
        event: 'piotlb-pages',
        did: first,
        page: pageOf(numbers[1]),
        order: third,
        pasid: fourth,
        leafOnly: null,
      };
    case 'vtd_inv_desc_pasid_cache_gsi':
      return { event: 'pasid-global' };
    case 'vtd_inv_desc_pasid_cache_dsi':
      return { event: 'pasid-domain', did: first };
    case 'vtd_inv_desc_pasid_cache_psi':
      return { event: 'pasid', did: first, pasid: second };
    default:
      return null;
  }
}

function pageOf(address = 0n): number {
  return Number(address >> 12n);
}

function translationOf(
  name: string,
  [sid = 0n, iova = 0n, word = 0n, did = 0n]: readonly bigint[],
  logged: Logged,
): LoggedTranslation | null {
  if (name !== 'vtd_iotlb_page_hit' && name !== 'vtd_iotlb_page_update') return null;
  const event = name === 'vtd_iotlb_page_hit' ? 'hit' : 'update';
  return { ...logged, event, sid: Number(sid), iova, word, did: Number(did), shift: 12 };
}

/** Requester id of a PCI address. */
export function sidText(sid: number): string {
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `${hex(sid >> 8)}:${hex((sid >> 3) & 31)}.${sid & 7}`;
}
