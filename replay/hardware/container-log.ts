import type { Kernel } from '../../src/model/index.ts';
import { eachType1Domain } from './domain-view.ts';
import { type DriverLog, type DriverOp, isOfLog, logDomain } from './driver-op.ts';
import type { History } from './history.ts';

type WithoutSeq<T> = T extends unknown ? Omit<T, 'seq'> : never;

/** Groups of classic containers on their way between domains, of which no effect tells. */
export interface ContainerWatch {
  /** What changed since the last time: vfio_iommu_type1_attach_group, _detach_group. */
  changes(): WithoutSeq<DriverOp>[];
}

export function watchContainers(kernel: Kernel, history: History, log: DriverLog): ContainerWatch {
  /** Key of the domain of each group. */
  let before = new Map<number, number>();
  const devicesOf = (group: number): number[] =>
    kernel.machine.devices
      .filter((device) => device.group === group && isOfLog(log, device.iommu.name))
      .map(({ index }) => index);
  return {
    changes() {
      if (before.size === 0 && Object.keys(kernel.state.vfio.containers).length === 0) return [];
      const now = new Map<number, number>();
      const entered: WithoutSeq<DriverOp>[] = [];
      for (const { key, groups, domain, facts } of eachType1Domain(history, kernel)) {
        if (!isOfLog(log, domain.iommu)) continue;
        if (!log.domains.has(key)) {
          log.domains.set(key, logDomain({ ...domain, key, dirtyOps: false }, false));
          log.formats.set(key, facts);
          entered.push({ op: 'alloc', domain: key });
        }
        for (const group of groups) {
          now.set(group, key);
          const devices = before.get(group) === key ? [] : devicesOf(group);
          if (devices.length > 0)
            entered.push({ op: 'attach', devices, pasid: 0, to: { kind: 'paging', domain: key } });
        }
      }
      const left = [...before.keys()].flatMap((group) => {
        const devices = now.has(group) ? [] : devicesOf(group);
        return devices.length === 0 ? [] : [{ op: 'detach' as const, devices, pasid: 0 }];
      });
      before = now;
      return [...left, ...entered];
    },
  };
}
