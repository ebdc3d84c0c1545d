import type { ChainLink } from './finding.ts';
import type { LintWorld } from './rule.ts';

/** The BIND of a device object, as a link. */
export function boundLinks({ lives }: LintWorld, context: number, device: number): ChainLink[] {
  const life = lives.find(context, device);
  if (life === undefined) return [];
  return [{ seq: life.bornSeq, role: 'bound', says: `${life.bornBy} makes it device ${device}` }];
}

/** The VFIO device behind the descriptor of the call, by its index in the machine; -1 when it is none. */
export function physicalOf({ kernel, call }: LintWorld): number {
  const { record } = call;
  if (!('fd' in record)) return -1;
  const file = kernel.state.files[kernel.state.processes[record.pid]?.descriptors[record.fd] ?? 0];
  return file?.kind === 'device' ? file.object : -1;
}

/** Address of a function of the machine, or its path. */
export function functionName({ kernel }: LintWorld, physical: number): string {
  const device = kernel.machine.devices[physical];
  return device?.bdf || device?.path || `device ${physical}`;
}

/** Descriptors of a device that have access, in words. */
export function openDescriptors({ kernel }: LintWorld, physical: number): string[] {
  const { processes, files, vfio } = kernel.state;
  const granted = new Set(vfio.devices[physical]?.granted ?? []);
  return Object.values(processes).flatMap(({ pid, descriptors }) =>
    Object.entries(descriptors)
      .filter(([, id]) => files[id] !== undefined && granted.has(id))
      .map(([fd]) => `${fd} of process ${pid}`),
  );
}

/** Context and object of the VFIO device behind the descriptor of the call; null when it is not bound. */
export function boundDeviceOf(
  world: LintWorld,
): { readonly context: number; readonly object: number } | null {
  const bound = world.kernel.state.vfio.devices[physicalOf(world)];
  return bound === undefined || bound.context === 0 ? null : bound;
}
