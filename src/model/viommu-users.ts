import { viommuLifecycle } from '../../machines/index.ts';
import { moved } from './objects.ts';
import type { Viommu } from './state.ts';

/** Users of a vIOMMU: nested HWPTs, vDEVICEs, vEVENTQs, HW queues and mapped windows. */

export function acquireViommu(viommu: Viommu): void {
  viommu.users += 1;
  const { event } = viommuLifecycle;
  viommu.lifecycle = moved(viommuLifecycle.step(viommu.lifecycle, event.ACQUIRE), 'using a vIOMMU');
}

export function releaseViommu(viommu: Viommu): void {
  viommu.users -= 1;
  const { event, guard } = viommuLifecycle;
  const last = viommu.users === 1 ? guard.last : 0;
  viommu.lifecycle = moved(viommuLifecycle.step(viommu.lifecycle, event.RELEASE, last), 'leaving a vIOMMU');
}
