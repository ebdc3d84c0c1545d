import type { Topology } from './header.ts';

/** The recorded topology with the parts that are given in place of its own. */
export function mergeTopologies(recorded: Topology, given: Topology): Topology {
  return {
    iommu: given.iommu ?? recorded.iommu,
    instances: given.instances.length > 0 ? given.instances : recorded.instances,
    devices: given.devices.length > 0 ? given.devices : recorded.devices,
  };
}
