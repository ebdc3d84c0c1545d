import type { Kernel } from '../../src/model/index.ts';
import { type ContainerDomain, eachType1Domain } from './domain-view.ts';
import { type DriverLog, type DriverOp, isOfLog, logDomain } from './driver-op.ts';
import type { History } from './history.ts';
import { probedPage } from './history-domains.ts';

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
  /** A group that joins others has a domain of its own until the kernel finds that theirs fits. */
  const throughOwn = ({ domain, facts }: ContainerDomain, devices: number[]): WithoutSeq<DriverOp>[] => {
    history.type1Count += 1;
    const key = -history.type1Count;
    log.domains.set(key, logDomain({ ...domain, key, dirtyOps: false }, false));
    log.formats.set(key, facts);
    return [
      { op: 'alloc', domain: key },
      { op: 'attach', devices, pasid: 0, to: { kind: 'paging', domain: key } },
      { op: 'detach', devices, pasid: 0 },
      { op: 'free', domain: key },
    ];
  };
  return {
    changes() {
      if (before.size === 0 && Object.keys(kernel.state.vfio.containers).length === 0) return [];
      const now = new Map<number, number>();
      const entered: WithoutSeq<DriverOp>[] = [];
      for (const each of eachType1Domain(history, kernel)) {
        const { key, groups, domain, facts } = each;
        if (!isOfLog(log, domain.iommu)) continue;
        const isNew = !log.domains.has(key);
        if (isNew) {
          log.domains.set(key, logDomain({ ...domain, key, dirtyOps: false }, false));
          log.formats.set(key, facts);
          entered.push({ op: 'alloc', domain: key });
        }
        groups.forEach((group, place) => {
          now.set(group, key);
          const devices = before.get(group) === key ? [] : devicesOf(group);
          if (devices.length === 0) return;
          const isFirst = isNew && place === 0;
          if (!isFirst) entered.push(...throughOwn(each, devices));
          entered.push({ op: 'attach', devices, pasid: 0, to: { kind: 'paging', domain: key } });
          const page = isFirst ? probedPage(kernel, each.iovas[0]) : null;
          if (page !== null) entered.push({ op: 'probe', domain: key, page });
        });
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
