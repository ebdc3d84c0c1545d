import { numberIn, objectIn } from '../check-order/check.ts';
import { boundIn } from '../check-order/vfio-conditions.ts';
import { objectLabel, slotName } from '../object-facts.ts';
import { groupOf, holdsSlot, slotOf } from '../slots.ts';
import type { Context, Device, KernelObject } from '../state.ts';
import {
  type Explain,
  type Finding,
  labels,
  objectsOf,
  ofObject,
  plain,
  type Refused,
  remedy,
} from './finding.ts';
import { attachmentsOf } from './holders.ts';

/** Refusals about attachments and the kinds of page tables. */

/**
 * The bound device that a call is about: by its descriptor, its own id, or by the selftest object that
 * owns it.
 */
function deviceOf(refused: Refused & { readonly context: Context }): Device | null {
  const own = boundIn(refused);
  if (own !== undefined) return own;
  for (const field of ['dev_id', 'id']) {
    const object = objectIn(refused, field);
    if (object?.type === 'device') return object;
    const owned = object?.type === 'selftest' ? refused.context.objects[object.device] : undefined;
    if (owned?.type === 'device') return owned;
  }
  return null;
}

const heldSlot: Explain = (refused) => {
  const device = deviceOf(refused);
  if (device === null) return null;
  const pasid = numberIn(refused, 'pasid');
  const slot = slotOf(refused.context, device, pasid);
  const held = refused.context.objects[slot?.hwpt ?? 0];
  if (held === undefined) return null;
  const others = slot!.devices.filter((id) => id !== device.id).map((id) => `device ${id}`);
  const shared = others.length === 0 ? '' : `, with ${others.join(', ')}`;
  return remedy(
    [
      ofObject(
        refused.context,
        held,
        `is attached to the ${slotName(pasid)} of ${objectLabel(device)}${shared}`,
      ),
    ],
    `as a replace, or after the ${slotName(pasid)} is detached`,
  );
};

const nothingToReplace: Explain = (refused) => {
  const device = deviceOf(refused);
  if (device === null) return null;
  const pasid = numberIn(refused, 'pasid');
  const held = attachmentsOf(refused.context, device.id);
  const findings = [
    plain(`the ${slotName(pasid)} of ${objectLabel(device)} is attached to nothing`),
    ...(holdsSlot(refused.context, device) ? held : []),
  ];
  return remedy(findings, 'as an attach');
};

/** The page tables without the PASID flag that stand in the way: the target, and those that are attached. */
const pasidIncompatible: Explain = (refused) => {
  const { context } = refused;
  const device = deviceOf(refused);
  if (device === null) return null;
  const target = objectIn(refused, refused.command.includes('MOCK_DOMAIN_FLAGS') ? 'id' : 'pt_id');
  const pasid = numberIn(refused, 'pasid');
  const findings: Finding[] = [];
  if (target?.type === 'ioas')
    findings.push(ofObject(context, target, 'gives automatic page tables, which never have the PASID flag'));
  else if (isWithoutFlag(target))
    findings.push(ofObject(context, target, 'was allocated without the PASID flag'));
  for (const [key, { hwpt }] of Object.entries(groupOf(context, device).slots)) {
    const held = context.objects[hwpt];
    if (Number(key) === pasid || held === undefined) continue;
    const flag = isWithoutFlag(held) ? ', and was allocated without the PASID flag' : '';
    findings.push(ofObject(context, held, `is attached to the ${slotName(Number(key))}${flag}`));
  }
  const compatible = objectsOf(
    context,
    (other) => (other.type === 'hwpt-paging' || other.type === 'hwpt-nested') && other.pasidCompatible,
  );
  return remedy(
    findings,
    `with page tables that have the flag, for the RID too; here: ${labels(compatible)}`,
  );
};

function isWithoutFlag(object: KernelObject | undefined): object is KernelObject {
  return (object?.type === 'hwpt-paging' || object?.type === 'hwpt-nested') && !object.pasidCompatible;
}

const withoutVdevice: Explain = (refused) => {
  const { context } = refused;
  const target = objectIn(refused, 'pt_id') ?? objectIn(refused, 'id');
  const device = deviceOf(refused);
  if (target?.type !== 'hwpt-nested' || device === null) return null;
  const own = context.objects[device.vdevice];
  const findings = [ofObject(context, target, `belongs to vIOMMU ${target.viommu}`)];
  if (own?.type === 'vdevice')
    findings.push(ofObject(context, own, `of ${objectLabel(device)} is on vIOMMU ${own.viommu}`));
  else findings.push(ofObject(context, device, 'has no vDEVICE'));
  return remedy(findings, `after VDEVICE_ALLOC on vIOMMU ${target.viommu} for ${objectLabel(device)}`);
};

const notANestParent: Explain = (refused) => {
  const { context } = refused;
  const parent = objectIn(refused, 'hwpt_id') ?? objectIn(refused, 'pt_id');
  if (parent?.type !== 'hwpt-paging') return null;
  const parents = objectsOf(context, (other) => other.type === 'hwpt-paging' && other.nestParent);
  const how = parent.auto ? 'was made automatically' : 'was allocated without NEST_PARENT';
  const choice = parents.length === 0 ? 'a page table allocated with NEST_PARENT' : labels(parents);
  return remedy([ofObject(context, parent, how)], `on ${choice}`);
};

const withoutDirtyTracking: Explain = (refused) => {
  const { context } = refused;
  const hwpt = objectIn(refused, 'hwpt_id');
  if (hwpt?.type !== 'hwpt-paging') return null;
  const tracking = objectsOf(context, (other) => other.type === 'hwpt-paging' && other.domain.dirtyOps);
  const how = hwpt.auto ? 'was made automatically' : 'was allocated without DIRTY_TRACKING';
  return remedy(
    [ofObject(context, hwpt, how)],
    tracking.length === 0 ? 'on a page table allocated with DIRTY_TRACKING' : `on ${labels(tracking)}`,
  );
};

const incompatible: Explain = (refused) => {
  const target = objectIn(refused, 'pt_id') ?? objectIn(refused, 'id');
  if (target?.type !== 'hwpt-paging') return null;
  return remedy([ofObject(refused.context, target, 'was allocated with DIRTY_TRACKING')]);
};

export const DEVICE_REMEDIES: Readonly<Record<string, Explain>> = {
  'device-already-attached': heldSlot,
  'group-attached-elsewhere': heldSlot,
  'replace-not-attached': nothingToReplace,
  'hwpt-not-pasid-compatible': pasidIncompatible,
  'nested-without-vdevice': withoutVdevice,
  'not-a-nest-parent': notANestParent,
  'viommu-needs-nest-parent': notANestParent,
  'hwpt-without-dirty-tracking': withoutDirtyTracking,
  'domain-incompatible': incompatible,
};
