import type { Store, TraceInfo } from '../../../store/index.ts';
import { lookAtAll } from '../look.ts';
import { findSlot, translate } from '../translate.ts';
import type { IommuEvent } from './parse.ts';

/**
 * Faults that the kernel reports to the owner of a domain (`report_iommu_fault`), against walks at that
 * time.
 */

export type FaultEvent = Extract<IommuEvent, { readonly kind: 'fault' }>;

export interface TimedFault {
  readonly event: FaultEvent;
  /** Last call whose events came before it; null when none did. */
  readonly seq: number | null;
}

/** Those at whose time our walk says that the access passes, or that the device is none of ours. */
export function unexplainedFaults(
  store: Store,
  trace: TraceInfo,
  faults: readonly TimedFault[],
  kernel: string | null,
): FaultEvent[] {
  const known = faults.flatMap(({ event, seq }) => (seq === null ? [] : [{ event, seq }]));
  const first = faults.filter(({ seq }) => seq === null).map(({ event }) => event);
  if (known.length === 0) return first;
  const views = lookAtAll(
    store,
    trace,
    known.map(({ seq }) => seq),
    { kernel },
  );
  const wrong = known.filter(({ event: { bdf, page, write } }, at) => {
    const view = views[at]!;
    const slot = findSlot(view, bdf, 0);
    if (slot === null) return true;
    const access = write ? 'w' : 'r';
    return translate(view, { slot, iova: BigInt(page) << 12n, access }).outcome === 'page';
  });
  return [...first, ...wrong.map(({ event }) => event)];
}
