import type { HardwareFault } from './faults.ts';
import type { WalkResult } from './page-table.ts';
import { UNKNOWN_FRAME, type Word } from './table-format.ts';

/** What came of one access of a device, and its way there. */

export interface TranslationStep {
  /** `device entry`, `PASID entry`, `context descriptor`, `first stage level 4`, `level 4` … */
  readonly at: string;
  /** Index in the table of a level; null for entries of devices. */
  readonly index: number | null;
  /** Null where nothing is there, or nothing is known. */
  readonly word: Word | null;
  readonly says: string;
}

export interface Translation {
  /** The way, worked out when this is called. */
  steps(): readonly TranslationStep[];
  /** `page`, `fault`, or `unknown` where the trace does not tell. */
  readonly outcome: 'page' | 'fault' | 'unknown';
  /** Physical address; null when the frame is unknown. */
  readonly physical: bigint | null;
  /** Bytes that this one translation covers; 0 without a page. */
  readonly pageBytes: number;
  readonly fault: HardwareFault | null;
  /** Why the outcome or the address is unknown; empty otherwise. */
  readonly why: string;
}

export type Outcome = Omit<Translation, 'steps'>;

const NO_PAGE_NOTED = 'no pagemap note tells the physical page, nor the size of the leaf';

export function faulted(fault: HardwareFault): Outcome {
  return { outcome: 'fault', physical: null, pageBytes: 0, fault, why: '' };
}

export function unknown(why: string): Outcome {
  return { outcome: 'unknown', physical: null, pageBytes: 0, fault: null, why };
}

/** `frame`: of the address's own page. */
export function paged(frame: number, address: bigint, pageBytes: number): Outcome {
  if (frame === UNKNOWN_FRAME)
    return { outcome: 'page', physical: null, pageBytes, fault: null, why: NO_PAGE_NOTED };
  const physical = BigInt(frame) * 4096n + (address & 4095n);
  return { outcome: 'page', physical, pageBytes, fault: null, why: '' };
}

/** The entries of a walk; `stage` stands before their levels. */
export function levelSteps({ steps, shift, fault }: WalkResult, stage = ''): TranslationStep[] {
  return steps().map(({ level, index, word }, at, all) => {
    const isLast = at === all.length - 1;
    const says = !isLast ? 'table' : word === null ? 'not present' : `leaf of ${2 ** (shift - 10)} KiB`;
    return {
      at: `${stage}level ${level}`,
      index,
      word,
      says: isLast && word !== null && fault ? `${says}: ${fault}` : says,
    };
  });
}
