import { outsideAperture } from '../../src/model/iova-domains.ts';
import type { Kernel } from '../../src/model/kernel.ts';
import type { Context, Ioas } from '../../src/model/state.ts';

/** What must hold of devices and groups of VFIO in every state, computed from nothing but the state. */

function boundDevices(kernel: Kernel, context: number) {
  return Object.values(kernel.state.vfio.devices).filter((device) => device.context === context);
}

/** References that VFIO holds to a device object: its own while it is bound. */
export function deviceHolds(kernel: Kernel, { id }: Context, object: number): number {
  return boundDevices(kernel, id).filter((device) => device.object === object).length;
}

/** References to a context: each bound device, and each group that has it as container. */
export function vfioReferences(kernel: Kernel, { id }: Context): number {
  const groups = Object.values(kernel.state.vfio.groups).filter(({ context }) => context === id);
  return boundDevices(kernel, id).length + groups.length;
}

/**
 * Who should reserve ranges of an IOAS, once for each range: page tables what is outside their aperture, and
 * devices whose RID is attached what the machine says of them.
 */
export function expectedOwners(kernel: Kernel, context: Context, ioas: Ioas): string[] {
  const owners: string[] = [];
  for (const object of Object.values(context.objects)) {
    if (object.type === 'hwpt-paging' && object.ioas === ioas.id)
      owners.push(...outsideAperture(object.domain, object.id).map(({ owner }) => owner));
  }
  for (const { slots } of Object.values(context.groups)) {
    const hwpt = context.objects[slots[0]?.hwpt ?? 0];
    const paging = hwpt?.type === 'hwpt-nested' ? context.objects[hwpt.parent] : hwpt;
    if (paging?.type !== 'hwpt-paging' || paging.ioas !== ioas.id) continue;
    for (const id of slots[0]!.devices) {
      const device = context.objects[id];
      const physical = device?.type === 'device' ? kernel.machine.devices[device.physical] : undefined;
      const enforced = physical?.reserved.filter(({ kind }) => kind !== 'direct-relaxable') ?? [];
      owners.push(...enforced.map(() => `device:${id}`));
    }
  }
  return owners;
}

/** Everything that is wrong with devices, groups and owners. */
export function vfioViolations(kernel: Kernel): string[] {
  const { devices, groups, owners } = kernel.state.vfio;
  const { files } = kernel.state;
  const found: string[] = [];
  const claims = new Map<number, number>();
  const cdevs = new Map<number, number>();
  for (const [index, device] of Object.entries(devices)) {
    const { group } = kernel.machine.devices[Number(index)]!;
    const { context, object, opens, granted, attached, pasids } = device;
    if (opens !== granted.length) found.push(`device ${index}: ${opens} opens, ${granted.length} files`);
    if (granted.some((id) => files[id] === undefined))
      found.push(`device ${index}: a closed file has access`);
    if ((context !== 0) !== opens > 0) found.push(`device ${index}: context ${context}, ${opens} opens`);
    if (context === 0) continue;
    claims.set(group, (claims.get(group) ?? 0) + 1);
    if (granted.some((id) => files[id]?.viaGroup === false)) cdevs.set(group, (cdevs.get(group) ?? 0) + 1);
    if (owners[group]?.context !== context) found.push(`device ${index}: group ${group} has another owner`);
    const home = kernel.state.contexts[context];
    if (home?.objects[object]?.type !== 'device') found.push(`device ${index}: object ${object} is none`);
    const slots = Object.entries(home?.groups[group]?.slots ?? {});
    const held = slots.filter(([, slot]) => slot.devices.includes(object)).map(([pasid]) => Number(pasid));
    const known = [...new Set([...(attached ? [0] : []), ...pasids])].sort((a, b) => a - b);
    if (held.sort((a, b) => a - b).join() !== known.join())
      found.push(`device ${index}: attached at ${held}, VFIO thinks at ${known}`);
  }
  for (const [id, { opened, cdevOpens }] of Object.entries(groups)) {
    if (opened !== 0 && cdevOpens > 0) found.push(`group ${id} is open beside descriptors of its devices`);
    if (opened !== 0 && files[opened]?.kind !== 'group') found.push(`group ${id}: file ${opened} is gone`);
    if (cdevOpens !== (cdevs.get(Number(id)) ?? 0)) found.push(`group ${id}: cdevOpens ${cdevOpens}`);
  }
  for (const [id, { count }] of Object.entries(owners)) {
    if (count !== claims.get(Number(id)))
      found.push(`group ${id}: ${count} claims, ${claims.get(Number(id))}`);
  }
  return found;
}

/** Opens, groups and owners that are left. */
export function vfioUsers({ state }: Kernel): number {
  const { devices, groups, owners } = state.vfio;
  const opens = Object.values(devices).reduce((sum, device) => sum + device.opens + device.context, 0);
  const open = Object.values(groups).reduce((sum, { opened, context }) => sum + opened + context, 0);
  return opens + open + Object.keys(owners).length;
}
