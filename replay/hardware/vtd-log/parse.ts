/** QEMU's trace events of its emulated VT-d (`-trace vtd_*`): what the unit was told, and what it did. */

interface Logged {
  /** Place of the event in the log, from 0. */
  readonly at: number;
  /** Line of the file, from 1. */
  readonly line: number;
  /** Seconds of the clock of the machine that QEMU ran on; null without time stamps. */
  readonly seconds: number | null;
}

/** A device's entry is forgotten. */
export interface LoggedContext extends Logged {
  readonly event: 'context';
  readonly sid: number;
  /** How many low bits of the function number do not matter. */
  readonly mask: number;
  /** As the descriptor has it; null without the raw descriptor. */
  readonly did: number | null;
}

/** Everything with a domain id is forgotten. */
export interface LoggedDomainFlush extends Logged {
  readonly event: 'iotlb-domain';
  readonly did: number;
}

export interface LoggedPageFlush extends Logged {
  readonly event: 'iotlb-pages';
  readonly did: number;
  readonly page: number;
  /** Pages as a power of two. */
  readonly order: number;
  /** The hint that only leaves changed; null without the raw descriptor. */
  readonly leafOnly: boolean | null;
}

/** Everything of a cache is forgotten, or the entries of a domain's devices. */
export interface LoggedWhole extends Logged {
  readonly event: 'context-global' | 'iotlb-global' | 'context-domain';
}

/** Translations with a domain id are forgotten. */
export type LoggedFlush = LoggedDomainFlush | LoggedPageFlush;

export type LoggedInvalidation = LoggedContext | LoggedFlush | LoggedWhole;

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

interface Raw {
  readonly low: bigint;
  readonly high: bigint;
}

/** Null when the text has no event of a VT-d. */
export function parseVtdLog(text: string): VtdEvent[] | null {
  const events: VtdEvent[] = [];
  /** Descriptor that the next event tells more of, by thread. */
  const raw = new Map<string, Raw>();
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
      if (low !== undefined && high !== undefined) raw.set(thread, { low, high });
      continue;
    }
    if (name === 'vtd_dmar_translate') {
      const translation = last.get(thread);
      const mask = numbers.at(-1);
      if (translation !== undefined && mask !== undefined) translation.shift = mask.toString(2).length;
      last.delete(thread);
      continue;
    }
    const event = eventOf(name, numbers, logged, raw.get(thread) ?? null);
    raw.delete(thread);
    if (event === null) continue;
    events.push(event);
    if (event.event === 'update' || event.event === 'hit') last.set(thread, event);
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

function eventOf(name: string, numbers: readonly bigint[], logged: Logged, raw: Raw | null): VtdEvent | null {
  const [first = 0n, second = 0n, third = 0n, fourth = 0n] = numbers;
  switch (name) {
    case 'vtd_inv_desc_cc_global':
      return { ...logged, event: 'context-global' };
    case 'vtd_inv_desc_cc_domain':
      return { ...logged, event: 'context-domain' };
    case 'vtd_inv_desc_cc_devices': {
      const did = raw === null ? null : Number((raw.low >> 16n) & 0xffffn);
      return { ...logged, event: 'context', sid: Number(first), mask: Number(second), did };
    }
    case 'vtd_inv_desc_iotlb_global':
      return { ...logged, event: 'iotlb-global' };
    case 'vtd_inv_desc_iotlb_domain':
      return { ...logged, event: 'iotlb-domain', did: Number(first) };
    case 'vtd_inv_desc_iotlb_pages':
      return {
        ...logged,
        event: 'iotlb-pages',
        did: Number(first),
        page: Number(second >> 12n),
        order: Number(third),
        leafOnly: raw === null ? null : ((raw.high >> 6n) & 1n) === 1n,
      };
    case 'vtd_iotlb_page_update':
    case 'vtd_iotlb_page_hit':
      return {
        ...logged,
        event: name === 'vtd_iotlb_page_hit' ? 'hit' : 'update',
        sid: Number(first),
        iova: second,
        word: third,
        did: Number(fourth),
        shift: 12,
      };
    default:
      return null;
  }
}

/** Requester id of a PCI address. */
export function sidText(sid: number): string {
  const hex = (value: number): string => value.toString(16).padStart(2, '0');
  return `${hex(sid >> 8)}:${hex((sid >> 3) & 31)}.${sid & 7}`;
}
