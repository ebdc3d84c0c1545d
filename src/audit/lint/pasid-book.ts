import type { ReplayWatcher } from '../../../replay/index.ts';
import type { TenureRow } from '../../../store/index.ts';
import { type Kernel, NO_EFFECTS } from '../../model/index.ts';
import type { PasidEvent } from '../event.ts';
import { createPasidHistory } from '../history.ts';
import { watchIommufd } from '../iommufd-events.ts';
import { watchProposal } from '../proposal-events.ts';

/**
 * What happens to PASIDs, in any generation of the API, as `ioasis audit pasid` tells it. Nothing is watched
 * while no rule listens.
 */
export interface PasidBook {
  /** Each event before it is folded into the tenures. */
  onEvent(listener: (event: PasidEvent) => void): void;
  /** Each tenure once it has ended, or with the trace. */
  onTenure(listener: (tenure: TenureRow) => void): void;
  /** Whether any rule listens. */
  isHeard(): boolean;
  readonly watcher: ReplayWatcher;
  finish(): void;
}

export function createPasidBook(kernel: Kernel): PasidBook {
  const onEvent: ((event: PasidEvent) => void)[] = [];
  const onTenure: ((tenure: TenureRow) => void)[] = [];
  const nothing = (): void => {};
  const history = createPasidHistory({
    scope: nothing,
    attachment: nothing,
    event: nothing,
    tenure: (row) => onTenure.forEach((tell) => void tell(row)),
  });
  const told = {
    ...history,
    apply(event: PasidEvent): void {
      onEvent.forEach((tell) => void tell(event));
      history.apply(event);
    },
  };
  const watcher = kernel.isProposal ? watchProposal(kernel, told) : watchIommufd(kernel, told);
  return {
    onEvent: (listener) => void onEvent.push(listener),
    onTenure: (listener) => void onTenure.push(listener),
    isHeard: () => onEvent.length + onTenure.length > 0,
    watcher: { ...watcher, effects: { ...NO_EFFECTS, ...watcher.effects } },
    finish: () => history.finish(),
  };
}
