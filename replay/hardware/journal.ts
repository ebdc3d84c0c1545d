import type { Fill, UnmapStep } from './fills.ts';

/**
 * What a kernel did to the domains of all its IOMMUs, in its own order: what the `iommu` events of its trace
 * would show. Only kept when somebody asks for it.
 */

export type JournalOp = { readonly seq: number } & JournalFact;

export type JournalFact =
  /** An area goes into domains; with more than one, batch by batch into each. */
  | {
      readonly op: 'map';
      readonly domains: readonly number[];
      readonly fill: Fill;
      /** Contiguous runs that all domains get before the next ones come. */
      readonly runsAtOnce: number;
    }
  | ({ readonly op: 'unmap'; readonly domain: number } & Omit<UnmapStep, 'step'>)
  /** An area was cut in two; its entries stay. */
  | { readonly op: 'split'; readonly from: Fill; readonly to: Fill }
  /** `vfio_test_domain_fgsp`: two pages are mapped and unmapped one by one, to see how the driver does it. */
  | { readonly op: 'probe'; readonly domain: number; readonly page: number }
  /**
   * A call that was refused: what had been mapped by then was unmapped again. The range where the call names
   * it; null where the kernel was to choose. `devices`: they were moved to the new domain first, and back.
   */
  | {
      readonly op: 'attempt';
      readonly page: number | null;
      readonly pageCount: number | null;
      readonly devices: readonly number[];
    }
  /** Devices change their domain, so many times in a row. */
  | { readonly op: 'attach'; readonly devices: readonly number[]; readonly times: number };

export interface Journal {
  readonly ops: JournalOp[];
  /** Ops of the calls before the one that is being applied. */
  start: number;
}

export function createJournal(): Journal {
  return { ops: [], start: 0 };
}

/** Ops come before the number of their call is known; `stampCall` puts it in. */
export function note({ ops }: Journal, fact: JournalFact): void {
  ops.push({ ...fact, seq: 0 });
}

/** The ops since the last call were caused by this one. */
export function stampCall(journal: Journal, seq: number): void {
  const { ops } = journal;
  for (let at = journal.start; at < ops.length; at += 1) ops[at] = { ...ops[at]!, seq };
  journal.start = ops.length;
}
