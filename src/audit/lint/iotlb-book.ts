import { type Entry, type IotlbProjection, type IotlbStep, watchIotlb } from '../../../replay/index.ts';
import type { Kernel } from '../../model/index.ts';

/** What the caches of the IOMMUs hold and how devices met it; only where the trace tells of accesses. */
export interface IotlbBook {
  onStep(listener: (step: IotlbStep) => void): void;
  /** Entries that are held and no longer true. */
  stale(): readonly Entry[];
  readonly watcher: IotlbProjection;
}

/** The kernel must not have been stepped yet. */
export function createIotlbBook(kernel: Kernel): IotlbBook {
  const listeners: ((step: IotlbStep) => void)[] = [];
  const watcher = watchIotlb(kernel, { onStep: (step) => listeners.forEach((tell) => void tell(step)) });
  return {
    onStep: (listener) => void listeners.push(listener),
    stale: () => watcher.stale(),
    watcher,
  };
}
